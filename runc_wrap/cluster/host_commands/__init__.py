"""What the pod has the host's systemd run: the installer's commands, and kubectl's requests.

systemd_manager speaks to systemd, host_command runs one command as a transient unit; node_commands
are those of the installer, host_documents the reports and checks that `kubectl runc-wrap` asks for.
"""
