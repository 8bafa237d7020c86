"""What does the work. The path of one image, from top to bottom:

source.listing   an object of the store      → ImageRef, or a count under a skip rule
plan             ImageRefs, sorted           → Shards, frozen
source.reading   one planned ImageRef        → bytes of just that version
images           bytes                       → upright RGB image → pixels
model            pixels and a prompt         → features → prefix → text
tasks            the text                    → columns of one row
sink.part        one Shard's rows            → one Parquet part
sink.create      one part                    → created once, or found created

`replica` takes one Shard down this path and knows no Ray; `dispatch` decides which replica runs
which Shard, and knows none either; `driver` does it on Ray, from the plan to the result.
"""
