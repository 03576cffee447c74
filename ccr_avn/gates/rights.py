"""What a user of a service may do, in a form that can be compared, shown and typed."""

from ccr_avn.models import User

ACL = ("keys", "commands", "categories", "channels")


def passwords_differ(one: User, other: User) -> bool:
    """As far as both are shown."""
    passwords = [user.password.get_secret_value() if user.password else "" for user in (one, other)]
    return all(passwords) and passwords[0] != passwords[1]


def of(user: User | None) -> dict[str, list[str]] | None:
    """Without the prefix of the type, and without lists that are empty: the platform leaves those out."""
    if user is None:
        return None
    told = {}
    for key, words in user.access_control.items():
        kind = str(key).rpartition("_acl_")[2]
        rights = [str(word) for word in words] if isinstance(words, list) else []
        if rights:
            told[kind] = sorted(rights) if kind in ("keys", "channels") else rights  # for the others the order counts
    return told


def shown(user: User) -> str:
    lists = of(user) or {}
    return ", ".join(f"{kind} {' '.join(words)}" for kind, words in lists.items()) or "no limits"


def words(user: User) -> tuple[str, ...]:
    """With an equals sign: a value may begin with a dash. No limits are spelled: no words would change nothing."""
    lists = of(user) or {"keys": ["*"], "categories": ["+@all"], "channels": ["*"]}
    return tuple(f"--valkey-acl-{kind}={' '.join(lists[kind])}" for kind in ACL if kind in lists)
