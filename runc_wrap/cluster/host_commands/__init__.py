"""What the pod has the host's systemd run: the installer's commands, and kubectl's requests.

systemd_dbus speaks to systemd, transient_unit runs one command; step_commands are those of the
installer, kubectl_requests the reports and checks that `kubectl runc-wrap` asks for.
"""
