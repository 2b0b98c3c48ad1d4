"""The ``jupyterhub_config.py`` of the demo: it reads YAML, as that of the hub image does."""

import os
from pathlib import Path

from jhk8s_ext.hub.config import load_config_file

c = get_config()  # type: ignore[name-defined] # noqa: F821 - it comes from JupyterHub

load_config_file(c, Path(os.environ["JHK8S_CONFIG"]))
c.LDAPProfileAuthenticator.lookup_dn_search_password = os.environ.pop("JHK8S_DEMO_SERVICE_PASSWORD")
