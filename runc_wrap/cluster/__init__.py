"""Installing on a node of a Kubernetes cluster, from within a pod that runs on it.

    next_step       decides what to do, and which state to report
    installer_loop  one pass: look, decide, do, report; removal does the opposite
    node_reporter   reports to the API server, the node's record and the pod's log
    preconditions   what a node must have, and must not: asked on the host

    configmap_policy, policy_directory      the policy from the ConfigMaps, and its way into force
    host_commands/      what is run on the host: transient units of its systemd
    api_server, node_object     the API server, by the pod's own token, and the node there

The pod itself only writes files in PREFIX/var/cluster. install.sh and runc-wrapctl do the rest. The
host's systemd runs them, so they go on when the pod ends.
"""
