"""The handlers of the API: one for each request, answering from the sandbox's state."""

from typing import Any

from ccr_avn.sandbox import answers, catalogue
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, User, new_password
from ccr_avn.sandbox.requests import Create, NewUser, TagChanges, Tags, Update, UserChange, route

PROJECT = "/v1/project/{project}"
SERVICE = PROJECT + "/service/{name}"


class Api:
    """Each handler gives the answer's JSON."""

    def __init__(self, platform: Platform, ca_certificate: str) -> None:
        self._platform = platform
        self._ca = ca_certificate

    @route("GET", "/v1/me")
    def me(self) -> Any:
        return {"user": answers.person(self._platform.options.project)}

    @route("GET", "/v1/project")
    def projects(self) -> Any:
        project = self._platform.options.project
        return {
            "projects": [answers.project(project)],
            "project_membership": {project: "admin"},
            "project_memberships": {project: ["admin"]},
        }

    @route("GET", PROJECT)
    def project(self) -> Any:
        return {"project": answers.project(self._platform.options.project)}

    @route("GET", PROJECT + "/kms/ca")
    def ca(self) -> Any:
        return {"certificate": self._ca}

    @route("GET", "/v1/clouds", "/v1/project//clouds", PROJECT + "/clouds")
    def clouds(self) -> Any:
        return {"clouds": catalogue.clouds()}

    @route("GET", PROJECT + "/service_types")
    def types(self) -> Any:
        chosen = self._platform.options
        return {
            "service_types": {
                kind: {**catalogue.service_type(kind), "service_plans": catalogue.plans(kind, priced=chosen.prices)}
                for kind in chosen.service_types
            }
        }

    @route("GET", PROJECT + "/service-types/{kind}")
    def type(self, kind: str) -> Any:
        if kind not in self._platform.options.service_types:
            raise ApiError(404, f"Service type '{kind}' not found", "invalid_service_type")
        return catalogue.service_type(kind)

    @route("GET", PROJECT + "/vpcs")
    def vpcs(self) -> Any:
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

    @route("GET", "/v1/service_versions", "/v1/account/{account}/service_versions")
    def versions(self) -> Any:
        return {
            "service_versions": [
                {"service_type": kind, "major_version": "9.1", "state": "available"}
                for kind in self._platform.options.service_types
            ]
        }

    @route("GET", PROJECT + "/events")
    def events(self) -> Any:
        return {"events": self._platform.events}

    @route("GET", PROJECT + "/service")
    def services(self) -> Any:
        return {"services": [answers.service(self._platform, one) for one in self._platform.services.values()]}

    @route("POST", PROJECT + "/service", body=Create)
    def create(self, body: Any) -> Any:
        return {"service": answers.service(self._platform, self._platform.create(body))}

    @route("GET", SERVICE)
    def service(self, name: str) -> Any:
        return {"service": answers.service(self._platform, self._platform.find(name))}

    @route("PUT", SERVICE, body=Update)
    def update(self, body: Any, name: str) -> Any:
        return {"service": answers.service(self._platform, self._platform.update(name, body))}

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
        return {"service_integrations": answers.integrations(self._platform, name)}

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
        everyone = answers.users(self._platform, self._platform.find(name))
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
