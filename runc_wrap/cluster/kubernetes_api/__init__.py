"""The Kubernetes API as the installer uses it: the server, its TLS, and the node's object."""
