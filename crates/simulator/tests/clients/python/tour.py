"""A tour of the simulator with Asana's own Python client, unchanged.

Usage: tour.py BASE_URL TOKEN PROJECT READY
Prints one JSON object; tests/clients.rs compares it with the simulator's truth.
READY is a URL that makes the simulator offer the events once a token is out.
"""

import json
import sys
import urllib.request

import asana
from asana.rest import ApiException

base_url, token, project, ready = sys.argv[1:]

configuration = asana.Configuration()
configuration.host = base_url
configuration.access_token = token
client = asana.ApiClient(configuration)

events = asana.EventsApi(client)
projects = asana.ProjectsApi(client)
tasks = asana.TasksApi(client)
users = asana.UsersApi(client)
workspaces = asana.WorkspacesApi(client)

seen = {}

seen["me"] = users.get_user("me", {"opt_fields": "name"})["name"]
seen["workspaces"] = [each["gid"] for each in workspaces.get_workspaces({})]

# The client's iterator follows next_page by itself.
workspace = seen["workspaces"][0]
listed = projects.get_projects({"workspace": workspace, "limit": 3})
seen["projects"] = [each["gid"] for each in listed]
seen["project_name"] = projects.get_project(project, {"opt_fields": "name"})["name"]
listed = tasks.get_tasks({"project": project, "limit": 7, "opt_fields": "name,modified_at"})
seen["tasks"] = [each["gid"] for each in listed]
seen["completed"] = [
    tasks.get_task(gid, {"opt_fields": "completed"})["completed"] for gid in seen["tasks"][:3]
]

try:
    tasks.get_task("999", {})
except ApiException as error:
    seen["unknown_status"] = error.status
    seen["unknown_message"] = json.loads(error.body)["errors"][0]["message"]

# The first poll, as the documentation has it: 412, and a token in its body.
try:
    events.get_events(project, {}, full_payload=True)
except ApiException as error:
    seen["first_status"] = error.status
    sync = json.loads(error.body)["sync"]

with urllib.request.urlopen(urllib.request.Request(ready, method="POST")) as answer:
    answer.read()

seen["pages"] = []
seen["events"] = []
more = True
while more:
    page = events.get_events(project, {"sync": sync}, full_payload=True)
    seen["pages"].append(len(page["data"]))
    seen["events"] += [event["resource"]["gid"] for event in page["data"]]
    sync, more = page["sync"], page["has_more"]

# The client's own iterator takes the 412 in its stride.
seen["quiet"] = [len(list(events.get_events(project, {})))]

print(json.dumps(seen))
