"""Certificates for simulated hosts: one that is right and three that are wrong."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Literal

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from spnego.channel_bindings import GssChannelBindings

Certificate = Literal["valid", "expired", "self-signed", "wrong-name"]
_DAY = datetime.timedelta(days=1)


@frozen
class Tls:
    """`ca_file` is what a client must trust for the "valid" certificate; `bindings` those of RFC 5929."""

    context: ssl.SSLContext
    ca_file: Path
    bindings: GssChannelBindings


def tls(kind: Certificate, folder: Path) -> Tls:
    """Make keys and certificates for localhost, 127.0.0.1 and ::1 in `folder`, and what serves with them.

    All are signed by an authority of their own, whose certificate is `ca_file`, but for "self-signed", which nobody signed
    and which is not in `ca_file`. A client that is told to trust exactly that certificate (`own.pem`) may.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Simulated authority")
    ca = _signed(
        _builder(ca_name, ca_name, ca_key, now - _DAY, now + 30 * _DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ),
        ca_key,
    )
    names: list[x509.GeneralName] = [x509.DNSName("elsewhere.invalid")]
    if kind != "wrong-name":
        addresses = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
        names = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    first, last = (now - 3 * _DAY, now - _DAY) if kind == "expired" else (now - _DAY, now + 30 * _DAY)
    own = _name("Simulated Windows host")
    issuer, signer = (own, key) if kind == "self-signed" else (ca_name, ca_key)
    builder = _builder(own, issuer, key, first, last)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=kind == "self-signed", path_length=None), critical=True)
    certificate = _signed(builder, signer, signer_key=ca_key if signer is ca_key else key)
    ca_file, own_file, key_file = folder / "ca.pem", folder / "own.pem", folder / "key.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    own_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_file, key_file)
    digest = certificate.fingerprint(hashes.SHA256())
    return Tls(context, ca_file, GssChannelBindings(application_data=b"tls-server-end-point:" + digest))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    first: datetime.datetime,
    last: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )


def _signed(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    *,
    signer_key: ec.EllipticCurvePrivateKey | None = None,
) -> x509.Certificate:
    signer = signer_key or key
    # A verifier finds the authority by these (RFC 5280, 4.2.1.1); OpenSSL 3 asks for them in strict mode.
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    return builder.sign(signer, hashes.SHA256())
