"""The handlers of the API: one for each request, answering from the sandbox's state."""

from typing import Any

from ccr_avn.sandbox import answers, catalogue
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, User, new_password


class Api:
    """The handlers: each takes the path's parts and the body, and gives the answer's JSON."""

    def __init__(self, platform: Platform, ca_certificate: str) -> None:
        self._platform = platform
        self._ca = ca_certificate

    def me(self, body: Any) -> Any:
        return {"user": answers.person(self._platform.options.project)}

    def projects(self, body: Any) -> Any:
        project = self._platform.options.project
        return {
            "projects": [answers.project(project)],
            "project_membership": {project: "admin"},
            "project_memberships": {project: ["admin"]},
        }

    def project(self, body: Any) -> Any:
        return {"project": answers.project(self._platform.options.project)}

    def ca(self, body: Any) -> Any:
        return {"certificate": self._ca}

    def clouds(self, body: Any) -> Any:
        return {"clouds": catalogue.clouds()}

    def types(self, body: Any) -> Any:
        chosen = self._platform.options
        return {
            "service_types": {
                kind: {**catalogue.service_type(kind), "service_plans": catalogue.plans(kind, priced=chosen.prices)}
                for kind in chosen.service_types
            }
        }

    def type(self, body: Any, kind: str) -> Any:
        if kind not in self._platform.options.service_types:
            raise ApiError(404, f"Service type '{kind}' not found", "invalid_service_type")
        return catalogue.service_type(kind)

    def vpcs(self, body: Any) -> Any:
        return {
            "vpcs": [
                {
                    "cloud_name": cloud,
                    "project_vpc_id": f"vpc-{number}",
                    "state": "ACTIVE",
                    "network_cidr": "10.0.0.0/24",
                }
                for number, cloud in enumerate(self._platform.options.vpc_clouds)
            ]
        }

    def versions(self, body: Any) -> Any:
        return {
            "service_versions": [
                {"service_type": kind, "major_version": "9.1", "state": "available"}
                for kind in self._platform.options.service_types
            ]
        }

    def events(self, body: Any) -> Any:
        return {"events": self._platform.events}

    def services(self, body: Any) -> Any:
        every = self._platform.services.values()
        return {"services": [answers.service(self._platform, one) for one in every if not one.lost]}

    def create(self, body: Any) -> Any:
        return {"service": answers.service(self._platform, self._platform.create(body))}

    def service(self, body: Any, name: str) -> Any:
        return {"service": answers.service(self._platform, self._platform.find(name))}

    def update(self, body: Any, name: str) -> Any:
        return {"service": answers.service(self._platform, self._platform.update(name, body))}

    def delete(self, body: Any, name: str) -> Any:
        self._platform.delete(name)
        return {"message": "deleted"}

    def backups(self, body: Any, name: str) -> Any:
        return {"backups": self._platform.backups(self._platform.find(name))}

    def integrations(self, body: Any, name: str) -> Any:
        self._platform.find(name)
        return {"service_integrations": answers.integrations(self._platform, name)}

    def integration_types(self, body: Any) -> Any:
        return {"integration_types": catalogue.integration_types(self._platform.options.service_types)}

    def integrate(self, body: Any) -> Any:
        raise ApiError(400, "read_replica can only be set during service creation")

    def disintegrate(self, body: Any, row: str) -> Any:
        self._platform.delete_integration(row)
        return {"message": "deleted"}

    def tags(self, body: Any, name: str) -> Any:
        return {"tags": self._platform.find(name).tags}

    def tag(self, body: Any, name: str) -> Any:
        tags = {**self._platform.find(name).tags, **body["tags"]}
        self._platform.set_tags(name, {key: value for key, value in tags.items() if value is not None})
        return {"message": "tags updated"}

    def retag(self, body: Any, name: str) -> Any:
        self._platform.set_tags(name, dict(body["tags"]))
        return {"message": "tags updated"}

    def user(self, body: Any, name: str, user: str) -> Any:
        everyone = answers.users(self._platform, self._platform.find(name))
        found = next((one for one in everyone if one["username"] == user), None)
        if not found:
            raise ApiError(404, "Service user does not exist")
        return {"user": found}

    def new_user(self, body: Any, name: str) -> Any:
        made = User(password=new_password(), access=_access(body))
        self._platform.set_user(name, body["username"], made)
        return self.user(body, name, body["username"])

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
        return self.user(body, name, user)

    def delete_user(self, body: Any, name: str, user: str) -> Any:
        self._platform.set_user(name, user, None)
        return {"message": "deleted"}


def _access(body: Any) -> dict[str, list[str]]:
    """Lists that are empty are left out, as the platform does."""
    return {key: list(words) for key, words in (body.get("access_control") or {}).items() if words}
