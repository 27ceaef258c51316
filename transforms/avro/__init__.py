"""Avro's binary form read to what `json.dumps` takes; safe for bytes and schemas of strangers.

fastavro parses the schemas. Its readers are for data that one trusts: a schema that refers to
itself and 1 MB of data end the process (compiled code recurses without a limit), a block of 10 MB
may decompress to 10 GB, and an array of nulls may have as many items as a number can say. Here
depth, number of values and decompressed size are limited.
Format: https://avro.apache.org/docs/1.12.0/specification/
"""
