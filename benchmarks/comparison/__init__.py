"""This runner beside what one would otherwise write, measured in turns (jobs/benchmark.py).

question.py            what is asked of every system
pictures.py models.py  on which pictures, with which weights
rounds.py __main__.py  who is measured when; one measurement, in a process of its own
alone.py whole_job.py  this runner: its model without Ray, the job as a command
looks.py               its model asked several things at one look, or a vocabulary
plain.py plain_stem.py ray_data.py batches.py    the rivals, and their best batch
measurement.py         what is measured, and by which rules
work.py limit.py       the least work that an image is; how fast this machine could do it
machine.py report.py   on what it was measured; the tables
"""
