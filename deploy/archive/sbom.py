"""What is in an archive, as CycloneDX has it: each part's version, licence and origin."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.archive import interpreter
from deploy.archive.debian_mirror import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.archive.debian_packages import Package
    from deploy.archive.machines import Machine
    from deploy.archive.wheels import Wheel

NAME = "sbom.cdx.json"
OWN = "runc-wrap"


def text(machine: Machine, debian: Iterable[Package], wheels: Iterable[Wheel], epoch: int) -> str:
    """Return the document; the same parts at the same time give the same text."""
    found = {wheel.name: wheel for wheel in wheels}
    own = _of_wheel(found.pop(OWN), ComponentType.APPLICATION)
    parts = [_of_debian(package) for package in debian if package.licence]
    parts += [_of_wheel(wheel, ComponentType.LIBRARY) for wheel in found.values()]
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
    purl = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    changes = interpreter.CHANGES.get(package.name)
    source = f"{SNAPSHOT}/{package.source}/{package.source_version}/"
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(package.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)],
        pedigree=Pedigree(notes=changes) if changes else None,
        external_references=[
            ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=XsUri(source))
        ],
    )


def _of_wheel(wheel: Wheel, kind: ComponentType) -> Component:
    purl = PackageURL("pypi", None, wheel.name.lower(), wheel.version)
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=kind,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(wheel.licence)],
    )
