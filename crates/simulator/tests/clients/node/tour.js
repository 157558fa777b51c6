// A tour of the simulator with Asana's own Node client, unchanged.
//
// Usage: node tour.js BASE_URL TOKEN PROJECT READY
// Prints one JSON object; tests/clients.rs compares it with the simulator's truth.
// READY is a URL that makes the simulator offer the events once a token is out.
"use strict";

const Asana = require("asana");

const [baseUrl, token, project, ready] = process.argv.slice(2);

const client = Asana.ApiClient.instance;
client.basePath = baseUrl;
client.authentications.token.accessToken = token;

const gids = (items) => items.map((item) => item.gid);

async function all(collection) {
  const items = [];
  for (let page = await collection; page.data; page = await page.nextPage()) {
    items.push(...page.data);
  }
  return items;
}

async function tour() {
  const seen = {};
  const events = new Asana.EventsApi();
  const projects = new Asana.ProjectsApi();
  const tasks = new Asana.TasksApi();

  seen.me = (await new Asana.UsersApi().getUser("me", { opt_fields: "name" })).data.name;
  seen.workspaces = gids((await new Asana.WorkspacesApi().getWorkspaces({})).data);

  const workspace = seen.workspaces[0];
  seen.projects = gids(await all(projects.getProjects({ workspace, limit: 3 })));
  seen.project_name = (await projects.getProject(project, { opt_fields: "name" })).data.name;
  const fields = "name,modified_at";
  seen.tasks = gids(await all(tasks.getTasks({ project, limit: 7, opt_fields: fields })));
  seen.completed = [];
  for (const gid of seen.tasks.slice(0, 3)) {
    seen.completed.push((await tasks.getTask(gid, { opt_fields: "completed" })).data.completed);
  }

  try {
    await tasks.getTask("999", {});
  } catch (error) {
    seen.unknown_status = error.status;
    seen.unknown_message = error.response.body.errors[0].message;
  }

  // The first poll, as the documentation has it: 412, and a token in its body.
  let sync;
  try {
    await events.getEvents(project, {});
  } catch (error) {
    seen.first_status = error.status;
    sync = error.response.body.sync;
  }

  await fetch(ready, { method: "POST" });

  seen.pages = [];
  seen.events = [];
  let more = true;
  while (more) {
    const page = await events.getEvents(project, { sync });
    seen.pages.push(page.data.length);
    seen.events.push(...page.data.map((event) => event.resource.gid));
    sync = page._response.sync;
    more = page._response.has_more;
  }
  seen.quiet = [(await events.getEvents(project, { sync })).data.length];

  console.log(JSON.stringify(seen));
}

tour().catch((error) => {
  console.error(error);
  process.exit(1);
});
