"""Installing on a node of a Kubernetes cluster, from within a pod that runs on it.

    next_step       what is to be done, and the state that the node is said to be in
    reconciler      one pass: look, decide, do, have it told; removal does the opposite
    node_reporter   what the API server, the node's record and the pod's log are told
    preflight       what a node must have before anything is installed: runs on the host

    cluster_policy/     the policy from the ConfigMaps
    host_commands/      what is run on the host: transient units of its systemd
    kubernetes_api/     the API server, reached by the pod's own token

The pod does nothing to the node but lay files beneath PREFIX/var/cluster. The rest is done by
install.sh and runc-wrapctl, which the host's systemd runs: the end of the pod ends none of it.
"""
