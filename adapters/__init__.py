"""The world behind the ports of `hub.application.ports`."""
