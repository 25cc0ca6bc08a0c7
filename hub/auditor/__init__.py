"""What an auditor's program needs: replay that verifies itself, stories, state, documents.

Not in the vendors' wheel: it stands beside the SDK, and like it knows nothing of a server.
"""
