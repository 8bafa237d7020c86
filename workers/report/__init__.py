"""One page that shows people what a run made of their images.

    parts ─scan→ Tally ─choose→ places ─rows, pictures→ Story ─render→ page

story.py      all that the page tells, gathered
parts.py      the committed parts, a few columns at a time
tally.py      what many rows come to, in bounded memory
pace.py       how many images a minute, whatever the run's length
pictures.py   images as thumbnails inside the page
cards.py      a row as people see it
charts.py     numbers as the places of bars
page.py       the story as HTML: page.html, page.css
"""
