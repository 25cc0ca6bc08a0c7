"""edXML (QCVN 102:2016/BTTTT), the package that the axis carries, read and written.

Nothing here opens a file or a connection: streams are handed in.
"""
