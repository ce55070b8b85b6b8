# Its data is where the service starts: by itself it has it in /var/lib/pgadmin.
cd lib/python3*/site-packages/pgadmin4
cat > config_local.py <<'END'
import os

DATA_DIR = os.environ.get("PGADMIN_DATA", "/tmp/pgadmin")
SQLITE_PATH = os.path.join(DATA_DIR, "pgadmin4.db")
SESSION_DB_PATH = os.path.join(DATA_DIR, "sessions")
STORAGE_DIR = os.path.join(DATA_DIR, "storage")
AZURE_CREDENTIAL_CACHE_DIR = os.path.join(DATA_DIR, "azurecredentialcache")
KERBEROS_CCACHE_DIR = os.path.join(DATA_DIR, "krbccache")
LOG_FILE = os.path.join(DATA_DIR, "pgadmin4.log")
DEFAULT_SERVER_PORT = int(os.environ.get("PGADMIN_PORT", "5050"))
UPGRADE_CHECK_ENABLED = False
END
