"""What Podman and Buildah read, and what is asked of them."""
