"""The programs that engines execute. Nothing here is imported; install.sh installs them."""
