"""A download as a Metalink 4 document (RFC 5854): each file's path, size, SHA-256 and signed URL."""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from server.domain.publish.checkpoints import File

MIME_TYPE = "application/metalink4+xml"
_NAMESPACE = "urn:ietf:params:xml:ns:metalink"


def render(files: Iterable[tuple[File, str]]) -> str:
    """Return the document. files: each with its URL. Paths were checked when they were published: relative, no `..`."""
    root = ET.Element("metalink", xmlns=_NAMESPACE)
    for file, url in files:
        element = ET.SubElement(root, "file", name=file.path)
        ET.SubElement(element, "size").text = str(file.size_bytes)
        ET.SubElement(element, "hash", type="sha-256").text = file.sha256
        ET.SubElement(element, "url").text = url
    return ET.tostring(root, encoding="unicode", xml_declaration=False)
