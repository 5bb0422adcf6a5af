"""security-profiles-operator's SeccompProfile: a profile as the `spec` of a Kubernetes object.

Source: security-profiles-operator api/seccompprofile/v1, as `kubectl get seccompprofile -o json`
prints it. An errnoRet of 0 means that none is set. The operator itself adds the profile that
baseProfileName names, which is not in the object: one with a base is refused.
"""

from runc_wrap.profiles.source_profile import ProfileError

_KIND, _GROUP = "SeccompProfile", "security-profiles-operator.x-k8s.io/"
_OF_THE_OBJECT = ("disabled", "baseProfileName", "targetWorkload")  # the last until v1alpha1
_INSTALLED = "/var/lib/kubelet/seccomp/operator/<name>.json"


def unwrapped(document: object, source: str) -> object:
    """Return the profile in such an object; any other document as it is. Raises ProfileError."""
    if not isinstance(document, dict) or "kind" not in document:
        return document
    kind, version = document["kind"], str(document.get("apiVersion"))
    if kind != _KIND or not version.startswith(_GROUP):
        raise ProfileError(
            f"{source}: kind: found {kind!a} of {version!a}, wanted one {_KIND} of {_GROUP}v1; "
            "`kubectl get seccompprofile <name> --output json` prints one"
        )
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise ProfileError(f"{source}: spec: missing; it holds the profile")
    if base := spec.get("baseProfileName"):
        raise ProfileError(
            f"{source}: spec.baseProfileName: the operator adds {base!a}, which is not in this "
            f'object; read what it installed, {_INSTALLED}, or write a file with "base" and "add"'
        )
    if spec.get("disabled"):
        raise ProfileError(f"{source}: spec.disabled: the operator installs no such profile")
    rules = spec.get("syscalls")
    kept = {key: value for key, value in spec.items() if key not in _OF_THE_OBJECT}
    if isinstance(rules, list):
        kept["syscalls"] = [_without_errno_0(rule) for rule in rules]
    return kept


def _without_errno_0(rule: object) -> object:
    if isinstance(rule, dict) and rule.get("errnoRet") == 0:
        return {key: value for key, value in rule.items() if key != "errnoRet"}
    return rule
