"""What does the work. The path of one image, from top to bottom:

source.listing   an object of the store      → ImageRef, or a count under a skip rule
plan             ImageRefs, sorted           → Shards, frozen
source.reading   one planned ImageRef        → bytes of just that version
images           bytes                       → upright RGB image → pixels
model            pixels and a prompt         → features → prefix → text
sink.part        one Shard's rows            → one Parquet part
sink.create      one part                    → created once, or found created

`driver` hands Shards to replicas through Ray; `replica` takes one Shard down this path without it.
"""
