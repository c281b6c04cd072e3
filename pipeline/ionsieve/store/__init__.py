"""What is known: results under the address of their question, the events, and the ledger.

The door is `Store` with `Request`; see ``docs/guide/clusters.md`` for the folder's layout.
"""

from ionsieve.store.address import Request as Request
from ionsieve.store.address import canonical_json as canonical_json
from ionsieve.store.address import content_key as content_key
from ionsieve.store.envelope import DamagedError as DamagedError
from ionsieve.store.events import EventLog as EventLog
from ionsieve.store.folder import safe_name as safe_name
from ionsieve.store.ledger import Ledger as Ledger
from ionsieve.store.ledger import Row as Row
from ionsieve.store.ledger import State as State
from ionsieve.store.lock import FolderLock as FolderLock
from ionsieve.store.store import Store as Store
from ionsieve.store.store import identity as identity
