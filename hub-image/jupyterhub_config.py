"""Configuration of the hub image for plain manifests, as in deploy/kubernetes.

The options themselves are YAML: config.yaml, and secrets.yaml beside it if it is there. Zero to
JupyterHub mounts a file of its own in the place of this one.
"""

import os
from pathlib import Path

from jhk8s_ext.hub.config import load_config_file


def service_url(name: str, port: int) -> str:
    """Return where a Service of this namespace answers."""
    # Kubernetes tells every pod, so that the hub needs no cluster DNS.
    prefix = name.upper().replace("-", "_") + "_SERVICE_"
    host = os.environ.get(prefix + "HOST", name)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{os.environ.get(prefix + 'PORT', port)}"


c = get_config()

c.JupyterHub.authenticator_class = "jhk8s-ldap"
c.JupyterHub.spawner_class = "jhk8s"
# Profiles live there.
c.Authenticator.enable_auth_state = True

c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = service_url("hub", 8081)

# Users keep their servers, and the way to them, while the hub restarts.
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = service_url("proxy-api", 8001)
# A restarted proxy has no routes until the hub's next look at it: after a minute, not after five.
c.JupyterHub.last_activity_interval = 60

config_file = Path(os.environ.get("JHK8S_CONFIG", "/etc/jhk8s/config.yaml"))
load_config_file(c, config_file)
secrets_file = config_file.with_name("secrets.yaml")
if secrets_file.exists():
    load_config_file(c, secrets_file)
