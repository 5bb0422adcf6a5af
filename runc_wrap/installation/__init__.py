"""Installing a release and taking an installation back.

install.sh makes a release's interpreter and packages (or copies them from an archive) and then runs
installer.py with them, which does the rest; `runc-wrapctl uninstall` runs uninstaller.py. What the
dry run of a checkout needs imports only the standard library: nothing else is installed then.
"""
