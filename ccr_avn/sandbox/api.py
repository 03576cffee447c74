"""The handlers of the API: one for each request, answering from the sandbox's state with the API's JSON."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from ccr_avn.sandbox import catalogue
from ccr_avn.sandbox.configuration import CLIENTS
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, Row, Service, User, new_password, route, stamp

PROJECT = "/v1/project/{project}"
SERVICE = PROJECT + "/service/{name}"
JsonObject = dict[str, Any]


class Body(BaseModel):
    """Whatever else is in it is left alone, as the platform does."""

    model_config = ConfigDict(strict=True)


class Integration(Body):
    integration_type: str
    source_service: str | None = None


class Create(Body):
    service_name: str
    service_type: str
    plan: str
    cloud: str | None = None
    user_config: JsonObject | None = None
    service_integrations: list[Integration] | None = None
    termination_protection: bool | None = None
    project_vpc_id: str | None = None


class Update(Body):
    plan: str | None = None
    cloud: str | None = None
    powered: bool | None = None
    user_config: JsonObject | None = None
    termination_protection: bool | None = None


class Tags(Body):
    tags: dict[str, str]


class TagChanges(Body):
    tags: dict[str, str | None]


class NewUser(Body):
    username: str
    access_control: dict[str, list[str]] | None = None


class UserChange(Body):
    operation: str | None = None
    new_password: str | None = None
    access_control: dict[str, list[str]] | None = None


class Api:
    """Each handler gives the answer's JSON."""

    def __init__(self, platform: Platform, ca_certificate: str) -> None:
        self._platform = platform
        self._ca = ca_certificate

    @route("GET", "/v1/me")
    def me(self) -> Any:
        return {"user": person_json(self._platform.options.project)}

    @route("GET", "/v1/project")
    def projects(self) -> Any:
        project = self._platform.options.project
        return {"projects": [project_json(project)], **_memberships(project)}

    @route("GET", PROJECT)
    def project(self) -> Any:
        return {"project": project_json(self._platform.options.project)}

    @route("GET", PROJECT + "/kms/ca")
    def ca(self) -> Any:
        return {"certificate": self._ca}

    @route("GET", "/v1/clouds", "/v1/project//clouds", PROJECT + "/clouds")
    def clouds(self) -> Any:
        return {"clouds": catalogue.clouds()}

    @route("GET", PROJECT + "/service_types")
    def types(self) -> Any:
        chosen = self._platform.options
        plans = {kind: catalogue.plans(kind, priced=chosen.prices) for kind in chosen.service_types}
        return {"service_types": {kind: {**self.type(kind), "service_plans": found} for kind, found in plans.items()}}

    @route("GET", PROJECT + "/service-types/{kind}")
    def type(self, kind: str) -> Any:
        if kind not in self._platform.options.service_types:
            raise ApiError(404, f"Service type '{kind}' not found", "invalid_service_type")
        return catalogue.service_type(kind)

    @route("GET", PROJECT + "/vpcs")
    def vpcs(self) -> Any:
        usual = {"state": "ACTIVE", "network_cidr": "10.0.0.0/24"}
        clouds = enumerate(self._platform.options.vpc_clouds)
        return {"vpcs": [{"cloud_name": cloud, "project_vpc_id": f"vpc-{number}", **usual} for number, cloud in clouds]}

    @route("GET", "/v1/service_versions", "/v1/account/{account}/service_versions")
    def versions(self) -> Any:
        usual = {"major_version": "9.1", "state": "available"}
        return {"service_versions": [{"service_type": kind, **usual} for kind in self._platform.options.service_types]}

    @route("GET", PROJECT + "/events")
    def events(self) -> Any:
        return {"events": self._platform.events}

    @route("GET", PROJECT + "/service")
    def services(self) -> Any:
        return {"services": [service_json(self._platform, one) for one in self._platform.services.values()]}

    @route("POST", PROJECT + "/service", body=Create)
    def create(self, body: Any) -> Any:
        return {"service": service_json(self._platform, self._platform.create(body))}

    @route("GET", SERVICE)
    def service(self, name: str) -> Any:
        return {"service": service_json(self._platform, self._platform.find(name))}

    @route("PUT", SERVICE, body=Update)
    def update(self, body: Any, name: str) -> Any:
        return {"service": service_json(self._platform, self._platform.update(name, body))}

    @route("DELETE", SERVICE)
    def delete(self, name: str) -> Any:
        self._platform.delete(name)
        return {"message": "deleted"}

    @route("GET", SERVICE + "/backups")
    def backups(self, name: str) -> Any:
        return {"backups": self._platform.backups(self._platform.find(name))}

    @route("GET", SERVICE + "/integration")
    def integrations(self, name: str) -> Any:
        self._platform.find(name)
        return {"service_integrations": integrations_json(self._platform, name)}

    @route("GET", PROJECT + "/integration_types")
    def integration_types(self) -> Any:
        return {"integration_types": catalogue.integration_types(self._platform.options.service_types)}

    @route("POST", PROJECT + "/integration")
    def integrate(self) -> Any:
        raise ApiError(400, "read_replica can only be set during service creation")

    @route("DELETE", PROJECT + "/integration/{row}")
    def disintegrate(self, row: str) -> Any:
        self._platform.delete_integration(row)
        return {"message": "deleted"}

    @route("GET", SERVICE + "/tags")
    def tags(self, name: str) -> Any:
        return {"tags": self._platform.find(name).tags}

    @route("PATCH", SERVICE + "/tags", body=TagChanges)
    def tag(self, body: Any, name: str) -> Any:
        tags = {**self._platform.find(name).tags, **body["tags"]}
        self._platform.set_tags(name, {key: value for key, value in tags.items() if value is not None})
        return {"message": "tags updated"}

    @route("PUT", SERVICE + "/tags", body=Tags)
    def retag(self, body: Any, name: str) -> Any:
        self._platform.set_tags(name, dict(body["tags"]))
        return {"message": "tags updated"}

    @route("GET", SERVICE + "/user/{user}")
    def user(self, name: str, user: str) -> Any:
        everyone = users_json(self._platform, self._platform.find(name))
        found = next((one for one in everyone if one["username"] == user), None)
        if not found:
            raise ApiError(404, "Service user does not exist")
        return {"user": found}

    @route("POST", SERVICE + "/user", body=NewUser)
    def new_user(self, body: Any, name: str) -> Any:
        made = User(password=new_password(), access=_access(body))
        self._platform.set_user(name, body["username"], made)
        return self.user(name, body["username"])

    @route("PUT", SERVICE + "/user/{user}", body=UserChange)
    def change_user(self, body: Any, name: str, user: str) -> Any:
        """Another password, or other access, as ``operation`` has it."""
        known = self._platform.find(name).users.get(user)
        if known is None:
            raise ApiError(404, "Service user does not exist")
        if body.get("operation") == "set-access-control":
            changed = User(password=known.password, access=_access(body))
        else:
            changed = User(password=body.get("new_password") or new_password(), access=known.access)
        self._platform.set_user(name, user, changed)
        return self.user(name, user)

    @route("DELETE", SERVICE + "/user/{user}")
    def delete_user(self, name: str, user: str) -> Any:
        self._platform.set_user(name, user, None)
        return {"message": "deleted"}


def _access(body: Any) -> dict[str, list[str]]:
    """Lists that are empty are left out, as the platform does."""
    return {key: list(words) for key, words in (body.get("access_control") or {}).items() if words}


def person_json(project: str) -> dict[str, Any]:
    return {
        "user": "you@example.com",
        "user_id": "u0000000001",
        "real_name": "You",
        "state": "active",
        "auth": ["password"],
        "features": {},
        "invitations": [],
        "projects": [project],
        **_memberships(project),
        "tenant": "aiven",
    }


def _memberships(project: str) -> dict[str, Any]:
    return {"project_membership": {project: "admin"}, "project_memberships": {project: ["admin"]}}


def project_json(name: str) -> dict[str, Any]:
    return {
        "project_name": name,
        "account_id": "a1",
        "account_name": "sandbox",
        "organization_id": "org1",
        "default_cloud": catalogue.CLOUDS[0],
        "billing_currency": "USD",
        "billing_emails": [],
        "billing_extra_text": None,
        "billing_group_id": "00000000-0000-0000-0000-000000000001",
        "billing_group_name": "Default billing group",
        "payment_method": "no_payment_expected",
        "tags": {},
        **dict.fromkeys(("available_credits", "estimated_balance"), "0.00"),
        **dict.fromkeys(("billing_address", "country", "country_code", "vat_id"), ""),
    }


def service_json(platform: Platform, one: Service) -> dict[str, Any]:
    nodes, memory, _, cluster = catalogue.PLANS[one.plan]
    password = "<redacted>" if platform.options.redact else one.password
    shape = {
        "service_name": one.name,
        "service_type": one.type,
        "service_type_description": one.type.title(),
        "state": platform.state(one),
        "plan": one.plan,
        "cloud_name": one.cloud,
        "node_count": nodes,
        "node_cpu_count": 2,
        "node_memory_mb": memory,
        "disk_space_mb": 0,
        "node_states": [_node(platform, one, number) for number in range(1, nodes + 1)] if one.powered else [],
        "create_time": stamp(one.created.replace(microsecond=0)),
        "update_time": stamp((one.updated or one.created).replace(microsecond=0)),
        "backups": platform.backups(one),
        **_address(platform, one, password),
        "users": users_json(platform, one),
        "user_config": one.user_config,
        "service_integrations": integrations_json(platform, one.name),
        "service_notifications": [],
        "tags": one.tags,
        "tech_emails": [],
        "termination_protection": one.protected,
        "maintenance": {"dow": "sunday", "time": "02:00:00", "enabled": True, "updates": []},
        "metadata": {},
        "features": {},
        "project_vpc_id": one.vpc,
        "group_list": ["default"],
        "is_cluster_plan": cluster,
    }
    return _altered(platform, shape)


def users_json(platform: Platform, one: Service) -> list[dict[str, Any]]:
    """The default user and those that were created; empty access lists are left out."""
    hide = platform.options.redact
    everyone = {"default": User(password=one.password, access={}), **one.users}
    return [
        {
            "username": name,
            "type": "primary" if name == "default" else "normal",
            "password": "<redacted>" if hide else user.password,
            "access_control": user.access,
        }
        for name, user in everyone.items()
    ]


def integrations_json(platform: Platform, name: str) -> list[dict[str, Any]]:
    """The rows of a service in both directions, and one that is available but not enabled."""
    available = {
        **integration_json(platform, Row(id="", source=name, dest="", active_at=float("inf"))),
        "service_integration_id": None,
        "integration_type": "metrics",
        "enabled": False,
        "dest_service": None,
        "dest_service_type": "pg",
    }
    return [*(integration_json(platform, row) for row in platform.listed_rows(name)), available]


def integration_json(platform: Platform, row: Row) -> dict[str, Any]:
    source, dest = platform.services.get(row.source), platform.services.get(row.dest)
    shape: dict[str, Any] = {
        "service_integration_id": row.id,
        "integration_type": "read_replica",
        "enabled": True,
        "active": platform.is_active(row),
        "description": "Read replica",
        "source_project": platform.options.project,
        "source_service": row.source,
        "source_service_type": source.type if source else "valkey",
        "dest_project": platform.options.project,
        "dest_service": row.dest,
        "dest_service_type": dest.type if dest else "valkey",
        **{f"{side}_{what}": None for side in ("source", "dest") for what in ("endpoint", "endpoint_id")},
        "user_config": {},
        "integration_status": None,
    }
    return _altered(platform, shape)


def _altered(platform: Platform, shape: dict[str, Any]) -> dict[str, Any]:
    for alter in platform.alterations:
        alter(shape)
    return shape


def _node(platform: Platform, one: Service, number: int) -> dict[str, Any]:
    building = not platform.is_built(one)
    progress = [{"phase": "stream", "completed": False, "min": 0, "current": 1, "max": 3, "unit": "bytes_compressed"}]
    lost = one.name in platform.struck
    return {
        "name": f"{one.name}-{number}",
        "state": "syncing_data" if building else "timing_out" if lost else "running",
        "role": "master" if number == 1 else "standby",
        "availability_zone": f"{one.cloud}-a",
        "progress_updates": progress if building else [],
    }


def _address(platform: Platform, one: Service, password: str) -> dict[str, Any]:
    """Nothing as long as it is built."""
    if not one.port or not platform.is_built(one):
        return {"service_uri": None, "service_uri_params": {}, "connection_info": {}, "components": []}
    options, port = platform.options, one.port
    scheme = options.uri_scheme or (f"{one.type}s" if options.encrypted else one.type)
    uri = f"{scheme}://default:{password}@{CLIENTS}:{port}"
    ssl = "required" if options.encrypted else "disable"
    component = {"component": one.type, "host": CLIENTS, "port": port, "route": "dynamic", "usage": "primary"}
    return {
        "service_uri": uri,
        "service_uri_params": {"host": CLIENTS, "port": str(port), "user": "default", "password": password, "ssl": ssl},
        "connection_info": {one.type: [uri], f"{one.type}_password": password},
        "components": [{**component, "ssl": options.encrypted}] if options.components else [],
    }
