"""The image of a cluster's installer: the release archive, OpenSSL for its Python, and no more.

/runc-wrap            the unpacked archive, as it is laid on a node
/installer/is-ready   the pod's readiness probe
/installer/tls        what runc_wrap/cluster/api_server.py loads
/installer/licences   of that; /installer/sbom.cdx.json has all that is in the image
"""
