"""What is in an archive, as CycloneDX has it: each part's version, licence and origin."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.archive import interpreter
from deploy.archive.debian_mirror import SNAPSHOT
from deploy.archive.debian_packages import Package
from deploy.archive.machines import Machine
from deploy.archive.wheels import Wheel

NAME = "sbom.cdx.json"
OWN = "runc-wrap"


def text(machine: Machine, debian: Iterable[Package], wheels: Iterable[Wheel], epoch: int) -> str:
    """Return the document; the same parts at the same time give the same text."""
    found = {wheel.name: wheel for wheel in wheels}
    own = _of_wheel(found.pop(OWN))
    parts = [_of_debian(package) for package in debian if package.licence]
    parts += map(_of_wheel, found.values())
    names = " ".join(sorted(str(part.purl) for part in (own, *parts)))
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{machine.debian} {names}"),
        metadata=BomMetaData(component=own, timestamp=datetime.fromtimestamp(epoch, UTC)),
        components=parts,
    )
    bom.register_dependency(own, parts)
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _of_debian(package: Package) -> Component:
    qualifiers = {"arch": package.architecture, "distro": "debian-13"}
    part = _part(package, PackageURL("deb", "debian", package.name, package.version, qualifiers))
    source = f"{SNAPSHOT}/{package.source}/{package.source_version}/"
    kind = ExternalReferenceType.SOURCE_DISTRIBUTION
    part.external_references.add(ExternalReference(type=kind, url=XsUri(source)))
    part.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=package.sha256))
    if changes := interpreter.CHANGES.get(package.name):
        part.pedigree = Pedigree(notes=changes)
    return part


def _of_wheel(wheel: Wheel) -> Component:
    return _part(wheel, PackageURL("pypi", None, wheel.name.lower(), wheel.version))


def _part(one: Package | Wheel, purl: PackageURL) -> Component:
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.APPLICATION if one.name == OWN else ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(one.licence)],
    )
