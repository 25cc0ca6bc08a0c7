"""A national axis to try against: a real server with a store, habits and faults of its own.

Shares nothing with the gateway but the words of edXML, so that neither hides the other's
mistakes. What the vendor's client needs of a server, this one does. For tests, the demo and
newcomers; never for documents that matter.
"""
