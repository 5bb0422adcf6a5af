"""Installing on a node of a Kubernetes cluster, from within a pod that runs on it.

    next_step       decides what to do, and which state to report
    reconciler      one pass: look, decide, do, report; removal does the opposite
    node_reporter   reports to the API server, the node's record and the pod's log
    preflight       what a node must have before anything is installed: runs on the host

    cluster_policy/     the policy from the ConfigMaps
    host_commands/      what is run on the host: transient units of its systemd
    kubernetes_api/     the API server, reached by the pod's own token

The pod itself only writes files in PREFIX/var/cluster. install.sh and runc-wrapctl do the rest. The
host's systemd runs them, so they go on when the pod ends.
"""
