"""Everything the hub keeps on disk: one database, document keys beside it, content in a folder."""
