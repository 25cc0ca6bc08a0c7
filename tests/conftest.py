"""What holds for every test."""

import os

# An examination in the background would add its fact at any time: tests of it ask for it. In the
# environment, for the hubs that are processes of their own too.
os.environ.setdefault("LIENTHONG_DOCUMENT_SIGNATURES", "off")
