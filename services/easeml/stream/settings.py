"""Every setting of Ease.ML: one frozen class, one prefix (``EASEML_``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from easeml.errors import ConfigurationError

MISCONFIGURED = 2
"""Exit code of a process whose settings a person must mend: starting it again would fail again."""


_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads ``EASEML_TOKEN`` from the file that ``EASEML_TOKEN_FILE`` names, and every other secret likewise."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = f"EASEML_{field_name}_FILE".upper()
        path = os.environ.get(variable) if field.annotation is SecretStr else None
        if not path:
            return None, field_name, False
        try:
            secret = Path(path).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{variable}: {path} cannot be read: {error}.", mend="Name a text file."
            ) from error
        if not secret:
            raise ConfigurationError(f"{variable}: {path} is empty.", mend="Write the secret into it.")
        return secret, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: secret for name, secret in found.items() if secret is not None}


class Settings(BaseSettings):
    """Settings, read from ``EASEML_*`` environment variables, secrets also from the files of ``EASEML_*_FILE``."""

    model_config = SettingsConfigDict(env_prefix="EASEML_", frozen=True, extra="ignore")

    bootstrap_servers: str = Field("", description="Kafka cluster; empty: the embedded broker")
    home: Path = Field(Path(".easeml"), description="folder of the embedded broker, artifacts and run files")
    partitions: int = Field(4, ge=1, le=1024, description="partitions of every topic")
    replication_factor: int = Field(1, ge=1, description="replicas of every topic")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca_file: str = Field("", description="certificate authority of the cluster; empty: the system's")
    artifacts_uri: str = Field("", description="fsspec URI of the model store; empty: a folder of home")
    max_message_bytes: int = Field(1_000_000, ge=10_000, description="larger messages are dead-lettered")
    max_artifact_bytes: int = Field(256 * 2**20, ge=1, description="larger models are refused")
    host: str = Field("127.0.0.1", description="address that services listen on")
    labels_port: int = Field(50151, ge=0, le=65535, description="port of the gRPC label service; 0: any free one")
    serving_port: int = Field(50152, ge=0, le=65535, description="port of the predict service; 0: any free one")
    health_port: int = Field(0, ge=0, le=65535, description="port of /health and /metrics; 0: any free one")
    token: SecretStr = Field(SecretStr(""), description="bearer token that callers of gRPC and HTTP must show")
    tls_certificate: str = Field("", description="certificate file of the gRPC and HTTP servers; empty: no TLS")
    tls_key: str = Field("", description="key file of that certificate; empty: the key is in the certificate's file")
    tls_ca: str = Field("", description="authority of callers, who must show its certificates; empty: none")
    epoch_seed: SecretStr = Field(SecretStr("easeml"), description="secret of all random choices of the services")
    workers: int = Field(1, ge=1, description="worker processes per service with CPU-heavy jobs")
    attempts: int = Field(3, ge=1, description="crashes an event may cause before it is dead-lettered")
    fuse: int = Field(100, ge=1, description="consecutive dead letters of a partition that stop a service")
    log_format: Literal["console", "json"] = "console"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the strongest first."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; ``overrides`` win.

        Raises
        ------
        ConfigurationError
            When a value does not fit, or the file of a secret cannot be read; names the variable.
        """
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            first = error.errors()[0]
            name = "EASEML_" + "_".join(map(str, first["loc"])).upper()
            raise ConfigurationError(f"{name}: {first['msg']}.", mend=f"It was {first['input']!r}.") from error
        if settings.host not in _LOOPBACK and not settings.token.get_secret_value():
            raise ConfigurationError(
                f"EASEML_HOST={settings.host} opens the label and predict services to the network without a token.",
                mend="Set EASEML_TOKEN, or listen on 127.0.0.1.",
            )
        return settings

    def kafka(self) -> dict[str, Any]:
        """Return the connection part of a confluent-kafka configuration."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        if self.ssl_ca_file:
            config["ssl.ca.location"] = self.ssl_ca_file
        return config

    @property
    def serves_tls(self) -> bool:
        """Whether the gRPC and HTTP servers speak TLS.

        Raises
        ------
        ConfigurationError
            When callers are asked for certificates although it is not spoken.
        """
        if self.tls_ca and not self.tls_certificate:
            raise ConfigurationError(
                "EASEML_TLS_CA asks callers for certificates, but the services speak no TLS.",
                mend="Set EASEML_TLS_CERTIFICATE and EASEML_TLS_KEY too.",
            )
        return bool(self.tls_certificate)

    @property
    def tls_key_file(self) -> str:
        """File of the key that belongs to the certificate."""
        return self.tls_key or self.tls_certificate

    @property
    def store_uri(self) -> str:
        """Fsspec URI of the artifact store."""
        return self.artifacts_uri or (self.home / "artifacts").resolve().as_uri()
