"""Calling an engine as the kubelet does: Kubernetes' CRI, by gRPC over the engine's unix socket.

cri_runtime.py has the calls; the others are what gRPC needs of HTTP/2 and protobuf.
"""
