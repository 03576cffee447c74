"""`ccr-avn endpoint`: the one command that prints secrets, because that is its job."""

from typing import Annotated, Literal

from ccr_avn import options
from ccr_avn.aiven.models import User
from ccr_avn.cli.options import Reaching
from ccr_avn.connection import Connection
from ccr_avn.errors import Refused, UsageError
from ccr_avn.options import Avn, CallTimeout, Json, ProjectName, Route, Service
from ccr_avn.output import console
from ccr_avn.procedures.setting import endpoint as reach


def endpoint(
    service: Service,
    project: ProjectName = None,
    form: Annotated[
        Literal["table", "uri", "env", "json", "k8s-secret"],
        options.choice("env: for a dotenv file or a shell to source; k8s-secret: a manifest.", "--format"),
    ] = "table",
    username: Annotated[str, options.word("U", "User to connect as.")] = "default",
    call_timeout: CallTimeout = 60,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Print the connection details of SERVICE, password included.

    Examples:
      ccr-avn endpoint us
      ccr-avn endpoint us --format env > app.env
    """
    if json and form not in ("table", "json"):
        what = f"--json can't be combined with --format {form}"
        raise UsageError(what, detail="each is a form of the same details", hint="--json, or --format alone")
    reaching = Reaching(project=project, call_timeout=call_timeout, route=route or "dynamic", avn=avn)
    [found] = reaching.services(service)
    connection = Connection(service=service, uri=reach(found, reaching.setting()).uri)
    if username != "default":
        connection = connection.as_user(username, _password(found.users, service, username))
    if json or form == "json":
        console.envelope("endpoint", connection.parts, with_secrets=True)
        return
    text = {
        "table": lambda: "\n".join(f"  {name:8}  {value}" for name, value in connection.parts.items()),
        "uri": lambda: connection.uri,
        "env": lambda: connection.env().rstrip(),
        "k8s-secret": lambda: connection.kubernetes_secret().rstrip(),
    }[form]()
    console.hand_over(text)


def _password(users: tuple[User, ...], service: str, username: str) -> str:
    user = next((one for one in users if one.username == username), None)
    if user is None or user.password is None:
        raise Refused(
            f"{service} shows no password for user {username}",
            detail=f"users: {', '.join(one.username for one in users)}",
            hint=f"avn service user-list {service} --json; passwords that were set by hand are not shown",
        )
    return user.password.get_secret_value()
