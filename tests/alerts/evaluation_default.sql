-- What `engine.statement` makes of the default settings.
-- Written by tests/alerts/test_evaluation_sql.py (RECORD=1), compared by it, and never run.
-- :subject_0 = ''
-- :subject_1 = ''
-- :subject_2 = ''
-- :subject_3 = ''
-- :subject_4 = ''
-- :subject_5 = ''
-- :subject_6 = ''
-- :subject_7 = ''
-- :today = '2026-11-22'
-- :roles = ARRAY['champion','decision maker']
-- :critical = ARRAY[0,4,6]
-- :bases = '[{"no_activity": "0a794490272b", "no_meeting": "e72f93a3bdd9", "single_contact": "c433123ef5b7", "k
-- :org = 1
-- :now = '2026-11-22T11:00:00+00:00'

WITH verdict AS MATERIALIZED (
  SELECT id AS id,
    (last_touch_on + 10) AS fires_0,
    10 AS limit_0,
    last_touch_on AS fact_0_since,
    last_interaction_on AS fact_0_last_on,
    last_interaction_id AS fact_0_activity,
    reopened_on AS fact_0_reopened_on,
    GREATEST((planned_until_on + 1), created_on, reopened_on) AS fires_1,
    planned_until_on AS fact_1_planned_on,
    planned_id AS fact_1_activity,
    reopened_on AS fact_1_reopened_on,
    CASE
      WHEN (waits & 4) > 0 THEN NULL
      WHEN streak_count >= 2 THEN GREATEST(
        (GREATEST((streak_on)[1], created_on) + 10), (streak_on)[2], created_on, reopened_on
      )
      ELSE NULL
    END AS fires_2,
    10 AS limit_2,
    streak_person_id AS fact_2_person,
    (streak_on)[1] AS fact_2_since,
    streak_count AS fact_2_count,
    2 AS fact_2_minimum,
    (streak_on)[2] AS fact_2_enough_on,
    reopened_on AS fact_2_reopened_on,
    CASE
      WHEN top_level >= 1 THEN NULL
      WHEN (engaged_count > 0 AND titled_count = 0) THEN NULL
      WHEN ((close_on - 10) <= '2026-11-22' AND (waits & 4) > 0) THEN NULL
      WHEN close_on IS NOT NULL THEN GREATEST((close_on - 10), created_on, reopened_on)
      ELSE NULL
    END AS fires_3,
    10 AS limit_3,
    close_on AS fact_3_close_on,
    1 AS fact_3_level,
    top_level AS fact_3_top_level,
    engaged_count AS fact_3_engaged,
    (engaged_count - titled_count) AS fact_3_untitled,
    reopened_on AS fact_3_reopened_on,
    CASE
      WHEN (NOT stage_known AND (waits & 1) > 0) THEN NULL
      ELSE GREATEST((stage_entered_on + 12), created_on, reopened_on)
    END AS fires_4,
    12 AS limit_4,
    stage_entered_on AS fact_4_entered_on,
    stage_known AS fact_4_exact,
    stage_id AS fact_4_stage,
    reopened_on AS fact_4_reopened_on,
    CASE WHEN close_on IS NOT NULL THEN GREATEST((close_on + 1), created_on, reopened_on) ELSE NULL END AS fires_5,
    close_on AS fact_5_close_on,
    reopened_on AS fact_5_reopened_on,
    CASE
      WHEN amount IS NULL THEN GREATEST(
        (amount_emptied_at AT TIME ZONE 'Europe/Paris')::date, created_on, reopened_on
      )
      WHEN amount = 0 THEN GREATEST((amount_emptied_at AT TIME ZONE 'Europe/Paris')::date, created_on, reopened_on)
      ELSE NULL
    END AS fires_6,
    amount AS fact_6_amount,
    created_on AS fact_6_created_on,
    amount_emptied_at AS fact_6_emptied_at,
    reopened_on AS fact_6_reopened_on,
    (created_on + 50) AS fires_7,
    50 AS limit_7,
    created_on AS fact_7_created_on,
    reopened_on AS fact_7_reopened_on,
    CASE
      WHEN deleted THEN 'deleted' WHEN archived THEN 'archived' WHEN NOT (status = 'open') THEN status ELSE NULL
    END AS gone,
    0 AS profile,
    CASE
      WHEN EXISTS(
        SELECT 1 AS a
        FROM alerts_snooze U0
        WHERE (U0.deal_id = (id) AND U0.ended_at IS NULL AND U0.organisation_id = (organisation_id)) LIMIT 1
      ) THEN (
        md5(
          jsonb_build_array(
            status,
            pipeline_ref,
            stage_ref,
            amount,
            currency,
            close_on,
            owner_ref,
            extract(epoch FROM last_interaction_at),
            planned_id,
            planned_until_on,
            (SELECT jsonb_object_agg(key, value -> 'holders') FROM jsonb_each(roles))
          )::text
        )
      )
      ELSE NULL
    END AS state
  FROM deals_deal
  WHERE (
    organisation_id = 1
    AND (
      (NOT archived AND NOT deleted AND status = 'open')
      OR NOT (alert_mask = 0)
      OR EXISTS(
        SELECT 1 AS a
        FROM alerts_snooze U0
        WHERE (U0.deal_id = (id) AND U0.ended_at IS NULL AND U0.organisation_id = 1) LIMIT 1
      )
    )
  )
),
hit(
  deal_id, kind, subject, bit, basis, fires_on, evidence
) AS MATERIALIZED (
  SELECT v.id,
    'no_activity',
    :subject_0,
    0,
    '0a794490272b',
    v.fires_0,
    jsonb_build_object(
      'since',
      v.fact_0_since,
      'last_on',
      v.fact_0_last_on,
      'activity',
      v.fact_0_activity,
      'reopened_on',
      v.fact_0_reopened_on,
      'limit',
      v.limit_0
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_0 <= :today
  UNION ALL SELECT v.id,
    'no_meeting',
    :subject_1,
    1,
    'e72f93a3bdd9',
    v.fires_1,
    jsonb_build_object(
      'planned_on', v.fact_1_planned_on, 'activity', v.fact_1_activity, 'reopened_on', v.fact_1_reopened_on
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_1 <= :today
  UNION ALL SELECT v.id,
    'single_contact',
    :subject_2,
    2,
    'c433123ef5b7',
    v.fires_2,
    jsonb_build_object(
      'person',
      v.fact_2_person,
      'since',
      v.fact_2_since,
      'count',
      v.fact_2_count,
      'minimum',
      v.fact_2_minimum,
      'enough_on',
      v.fact_2_enough_on,
      'reopened_on',
      v.fact_2_reopened_on,
      'limit',
      v.limit_2
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_2 <= :today
  UNION ALL SELECT v.id,
    'power_map',
    :subject_3,
    4,
    '2fdb5bf6a741',
    v.fires_3,
    jsonb_build_object(
      'close_on',
      v.fact_3_close_on,
      'level',
      v.fact_3_level,
      'top_level',
      v.fact_3_top_level,
      'engaged',
      v.fact_3_engaged,
      'untitled',
      v.fact_3_untitled,
      'reopened_on',
      v.fact_3_reopened_on,
      'limit',
      v.limit_3
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_3 <= :today
  UNION ALL SELECT v.id,
    'stuck_in_stage',
    :subject_4,
    5,
    '93c6945ae028',
    v.fires_4,
    jsonb_build_object(
      'entered_on',
      v.fact_4_entered_on,
      'exact',
      v.fact_4_exact,
      'stage',
      v.fact_4_stage,
      'reopened_on',
      v.fact_4_reopened_on,
      'limit',
      v.limit_4
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_4 <= :today
  UNION ALL SELECT v.id,
    'close_date_passed',
    :subject_5,
    6,
    'e72f93a3bdd9',
    v.fires_5,
    jsonb_build_object('close_on', v.fact_5_close_on, 'reopened_on', v.fact_5_reopened_on)
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_5 <= :today
  UNION ALL SELECT v.id,
    'amount_empty',
    :subject_6,
    7,
    '0bc3cf234f7e',
    v.fires_6,
    jsonb_build_object(
      'amount',
      v.fact_6_amount,
      'created_on',
      v.fact_6_created_on,
      'emptied_at',
      v.fact_6_emptied_at,
      'reopened_on',
      v.fact_6_reopened_on
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_6 <= :today
  UNION ALL SELECT v.id,
    'deal_too_old',
    :subject_7,
    8,
    'e1765e265f2f',
    v.fires_7,
    jsonb_build_object('created_on', v.fact_7_created_on, 'reopened_on', v.fact_7_reopened_on, 'limit', v.limit_7)
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_7 <= :today
) ,
opened_before AS (
  SELECT a.id,
    a.deal_id,
    a.kind,
    a.subject,
    a.holds_since,
    a.evidence,
    a.basis,
    v.gone,
    v.profile
  FROM verdict v
  JOIN alerts_alert a ON a.organisation_id = :org
    AND a.deal_id = v.id
    AND a.resolved_at IS NULL
),
difference AS MATERIALIZED (
  SELECT o.id,
    h.deal_id,
    h.kind,
    h.subject,
    h.fires_on,
    h.evidence,
    h.basis,
    o.deal_id AS was_on,
    o.gone,
    o.profile
  FROM hit h
  FULL JOIN opened_before o ON o.deal_id = h.deal_id
    AND o.kind = h.kind
    AND o.subject = h.subject
  WHERE (o.holds_since, o.evidence, o.basis) IS DISTINCT FROM (h.fires_on, h.evidence, h.basis)
),
refreshed AS (
  UPDATE alerts_alert a
  SET holds_since = d.fires_on,
    evidence = d.evidence,
    basis = d.basis
  FROM difference d
  WHERE a.organisation_id = :org
    AND a.id = d.id
    AND d.deal_id IS NOT NULL
    AND a.id = ANY(ARRAY(SELECT id FROM difference WHERE deal_id IS NOT NULL))
  RETURNING 1
),
resolved AS (
  UPDATE alerts_alert a
  SET resolved_at = :now::timestamptz,
    reason = CASE
      WHEN d.gone IS NOT NULL THEN d.gone
      WHEN NOT :bases::jsonb -> d.profile ? a.kind THEN 'rule_off'
      WHEN a.kind = 'key_role'
        AND a.subject <> ALL(:roles) THEN 'role_deleted'
      WHEN a.basis IS DISTINCT FROM :bases::jsonb -> d.profile ->> a.kind THEN 'settings_changed'
      ELSE 'fact_changed'
    END
  FROM difference d
  WHERE a.organisation_id = :org
    AND a.id = d.id
    AND d.deal_id IS NULL
    AND a.id = ANY(ARRAY(SELECT id FROM difference WHERE deal_id IS NULL))
  RETURNING 1
),
opened AS (
  INSERT INTO alerts_alert (organisation_id, deal_id, kind, subject, holds_since, opened_at, evidence, basis, reason)
  SELECT :org,
    deal_id,
    kind,
    subject,
    fires_on,
    :now::timestamptz,
    evidence,
    basis,
    ''
  FROM difference
  WHERE id IS NULL
  RETURNING 1
),
snoozed AS MATERIALIZED (
  SELECT s.id,
    s.deal_id,
    s.kind,
    s.subject,
    s.ended_by_id IS NULL
    AND COALESCE(s.until_on > :today, true)
    AND s.state IN ('', v.state) AS lasts
  FROM verdict v
  JOIN alerts_snooze s ON s.organisation_id = :org
    AND s.deal_id = v.id
    AND s.ended_at IS NULL
  WHERE v.state IS NOT NULL
),
woken AS (
  UPDATE alerts_snooze s
  SET ended_at = :now::timestamptz
  FROM snoozed w
  WHERE s.organisation_id = :org
    AND s.id = w.id
    AND NOT w.lasts
),
mask AS MATERIALIZED (
  SELECT c.id,
    COALESCE(bit_or(1 << h.bit), 0) | (LEAST(count(h.bit)::int, 255) << 16) | (
      LEAST(count(*) FILTER (WHERE h.bit = ANY(:critical))::int, 63) << 24
    ) AS mask
  FROM (SELECT COALESCE(deal_id, was_on) AS id FROM difference UNION SELECT deal_id FROM snoozed) c
  LEFT JOIN (
    SELECT deal_id,
      bit
    FROM hit h
    WHERE NOT EXISTS (
      SELECT FROM snoozed s WHERE s.lasts AND s.deal_id = h.deal_id AND s.kind = h.kind AND s.subject = h.subject
    )
  ) h ON h.deal_id = c.id
  GROUP BY c.id
),
masked AS (
  UPDATE deals_deal d
  SET alert_mask = m.mask
  FROM mask m
  WHERE d.organisation_id = :org
    AND d.id = m.id
    AND d.alert_mask <> m.mask
    AND d.id = ANY(ARRAY(SELECT id FROM mask))
)
SELECT (SELECT count(*) FROM opened),
(SELECT count(*) FROM refreshed),
(SELECT count(*) FROM resolved)
