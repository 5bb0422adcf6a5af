"""Calling an engine as the kubelet does: Kubernetes' CRI, by gRPC over the engine's unix socket.

cri_runtime.py has the calls, grpc_call.py makes one by h2, protobuf_wire.py has its messages.
"""
