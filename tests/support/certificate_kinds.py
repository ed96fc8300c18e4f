"""Kinds of certificates that OpenSSL takes: those that the endpoint's server takes as well, and those it does not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import CertificatePoliciesOID, ExtendedKeyUsageOID, ExtensionOID

from tests.support.certificate import make, make_restricted_to_pss, make_version_1

ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)

Kinds = dict[str, Callable[[Path], tuple[Path, Path]]]

_made = partial(make, ends=ENDS)

SERVED: Kinds = {
    "RSA 2048": lambda folder: _made(folder, key=rsa.generate_private_key(65537, 2048)),
    "RSA 4096": lambda folder: _made(folder, key=rsa.generate_private_key(65537, 4096)),
    "P-256": lambda folder: _made(folder, key=ec.generate_private_key(ec.SECP256R1())),
    "P-384": lambda folder: _made(folder, key=ec.generate_private_key(ec.SECP384R1())),
    "Ed25519": lambda folder: _made(folder, key=ed25519.Ed25519PrivateKey.generate()),
    "critical extensions": lambda folder: _made(
        folder,
        critical=[
            x509.BasicConstraints(ca=True, path_length=None),
            x509.KeyUsage(True, False, False, False, False, True, False, False, False),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier("http://ca/crl")], None, None, None)]
            ),
        ],
    ),
    "an extension that only the server passes over": lambda folder: _made(
        folder, others=[x509.UnrecognizedExtension(ExtensionOID.AUTHORITY_INFORMATION_ACCESS, b"junk")]
    ),
}
UNSERVED: Kinds = {
    "version 1": partial(make_version_1, ends=ENDS),
    "RSA-PSS": partial(make_restricted_to_pss, ends=ENDS),
    "RSA 2560": lambda folder: _made(folder, key=rsa.generate_private_key(65537, 2560)),
    "RSA with exponent 3": lambda folder: _made(folder, key=rsa.generate_private_key(3, 2048)),
    "P-521": lambda folder: _made(folder, key=ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": lambda folder: _made(folder, key=ec.generate_private_key(ec.SECP256K1())),
    "Ed448": lambda folder: _made(folder, key=ed448.Ed448PrivateKey.generate()),
    "an unknown critical extension": lambda folder: _made(
        folder,
        critical=[x509.CertificatePolicies([x509.PolicyInformation(CertificatePoliciesOID.ANY_POLICY, None)])],
    ),
}
