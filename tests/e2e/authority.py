"""Certificates and tokens of the tests' own making: an authority, those that it signs, an issuer of tokens."""

import base64
import datetime
import hashlib
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates; `pem` is what trusts it."""

    def __init__(self, name: str = "the tests' authority"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self.name, self.name, self.key.public_key(), DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, *, id: str | None = None, host: str | None = None, lasts: datetime.timedelta = DAY) -> "Pair":
        """A certificate that names a workload, a host or nobody; one that `lasts` less than nothing is over already."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        if id is not None:
            names.append(x509.UniformResourceIdentifier(id))
        if host is not None:
            names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workload")])
        builder = _builder(subject, self.name, key.public_key(), lasts)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Pair(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


class Pair:
    """A certificate and its key."""

    def __init__(self, chain: bytes, key: bytes):
        self.chain = chain
        self.key = key

    def write(self, directory: pathlib.Path, name: str) -> tuple[str, str]:
        """Puts both in place, each at once: whoever reads sees the old or the new."""
        return replace(directory / f"{name}.pem", self.chain), replace(directory / f"{name}.key", self.key)


def replace(path: pathlib.Path, contents: bytes) -> str:
    new = path.with_suffix(path.suffix + ".new")
    new.write_bytes(contents)
    new.rename(path)
    return str(path)


def _builder(subject, issuer, key, lasts) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + lasts)
    )


def hashed(token: str) -> str:
    """A key as the access document has it."""
    return hashlib.sha256(token.encode()).hexdigest()


class Issuer:
    """Signs tokens (JWTs); `jwks` is what its tokens are checked by."""

    NAME = "https://issuer.test"
    AUDIENCE = "bursar"

    def __init__(self):
        self.keys = {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "PS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    @property
    def jwks(self) -> bytes:
        return json.dumps({"keys": [_jwk(name, key.public_key()) for name, key in self.keys.items()]}).encode()

    def token(self, algorithm: str = "ES256", *, signed_by: str | None = None, **claims) -> str:
        now = int(datetime.datetime.now(datetime.timezone.utc).timestamp())
        usual = {"iss": self.NAME, "aud": self.AUDIENCE, "sub": "somebody", "exp": now + 3600}
        claims = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        kid = signed_by or algorithm
        head = _text(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
        message = f"{head}.{_text(json.dumps(claims).encode())}"
        return f"{message}.{_text(self._signature(kid, message.encode()))}"

    def _signature(self, kid: str, message: bytes) -> bytes:
        key = self.keys[kid]
        if kid == "RS256":
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        if kid == "PS256":
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
            return key.sign(message, pss, hashes.SHA256())
        if kid == "ES256":
            r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return key.sign(message)


def _jwk(kid: str, key) -> dict:
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "kid": kid, "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        numbers = key.public_numbers()
        x, y = (_text(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "kid": kid, "crv": "P-256", "x": x, "y": y}
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": _text(raw)}


def _number(number: int) -> str:
    return _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
