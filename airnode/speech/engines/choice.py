"""Which engine a node uses."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.config.sections.speech import SpeechSection
from airnode.speech.engines.local import LocalEngine
from airnode.speech.engines.remote import RemoteEngine


def engine_for(section: SpeechSection, data_dir: Path, registry: CollectorRegistry) -> LocalEngine | RemoteEngine:
    """Return the configured engine, not started. Both are services: whoever uses one stops it."""
    if section.engine == "remote" or (section.engine == "auto" and section.remote_url):
        return RemoteEngine(section)
    return LocalEngine(section, models_dir(section, data_dir), registry)


def models_dir(section: SpeechSection, data_dir: Path) -> Path:
    """Return where models are kept."""
    return section.models_dir or data_dir / "models"
