"""Reads vLLM's settings from where they are written down: its API, command lines, recordings, and its own defaults."""

from kvwatch.parse.settings.api import settings_from_models, settings_from_server_info, version_from
from kvwatch.parse.settings.command import ServerCommand, server_command
from kvwatch.parse.settings.options import settings_from_options
from kvwatch.parse.settings.recording import settings_from_recording

__all__ = [
    "ServerCommand",
    "server_command",
    "settings_from_models",
    "settings_from_options",
    "settings_from_recording",
    "settings_from_server_info",
    "version_from",
]
