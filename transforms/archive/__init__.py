"""A stream kept in files, and read from them again.

layout      names of folders and files: what is in a file is known without opening it
formats     what is in a file: Avro containers, or JSON Lines for people
spool       where a file is written to, until it is complete
sink        WriteToArchive
source      ReadFromArchive
"""
