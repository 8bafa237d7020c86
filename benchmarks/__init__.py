"""The programs behind the figures in docs/ and RESULTS.md.

plan_scale.py dispatch_scale.py    what planning and driving cost; run by themselves
the others                         the parts of jobs/benchmark.py, which compares whole systems
"""
