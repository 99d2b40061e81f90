// Reads a Pipedrive with the client that Pipedrive publishes: node read.mjs <base address> <token>
// Prints {"deals": [id, …], "persons": […], "activities": […], "title": …, "me": …} as JSON.
import * as v1 from "pipedrive/v1";
import * as v2 from "pipedrive/v2";

const [base, apiKey] = process.argv.slice(2);
const version1 = new v1.Configuration({ apiKey, basePath: `${base}/api/v1` });
const version2 = new v2.Configuration({ apiKey, basePath: `${base}/api/v2` });

async function all(ask) {
  const found = [];
  let cursor;
  do {
    const page = await ask({ limit: 50, cursor });
    found.push(...page.data);
    cursor = page.additional_data.next_cursor ?? undefined;
  } while (cursor);
  return found;
}

const dealsApi = new v2.DealsApi(version2);
const personsApi = new v2.PersonsApi(version2);
const activitiesApi = new v2.ActivitiesApi(version2);
const deals = await all((page) => dealsApi.getDeals(page));
const persons = await all((page) => personsApi.getPersons(page));
const activities = await all((page) => activitiesApi.getActivities({ ...page, include_fields: "attendees" }));
const one = await dealsApi.getDeal({ id: deals[0].id });
const me = await new v1.UsersApi(version1).getCurrentUser();

const ids = (records) => records.map((record) => record.id);
console.log(
  JSON.stringify({
    deals: ids(deals),
    persons: ids(persons),
    activities: ids(activities),
    attendees: activities.flatMap((activity) => activity.attendees).length,
    title: one.data.title,
    me: me.data.company_domain,
  }),
);
