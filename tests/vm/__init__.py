"""What only a whole machine has: systemd as init, cgroup v2, AppArmor, a reboot, a power cut."""
