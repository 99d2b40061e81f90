-- What `engine.statement` makes of per-stage limits, two roles, an override for one pipeline and one team, two watched pipelines, business days.
-- Written by tests/alerts/test_evaluation_sql.py (RECORD=1), compared by it, and never run.
-- :subject_0 = ''
-- :override_0 = ARRAY['Renewals of team North',NULL]
-- :subject_1 = ''
-- :override_1 = ARRAY['Renewals of team North',NULL]
-- :subject_2 = ''
-- :subject_3 = 'champion'
-- :override_3 = ARRAY['Renewals of team North',NULL]
-- :subject_4 = 'decision maker'
-- :override_4 = ARRAY['Renewals of team North',NULL]
-- :subject_5 = ''
-- :subject_6 = ''
-- :subject_7 = ''
-- :subject_8 = ''
-- :subject_9 = ''
-- :calendar = '{1990-01-02,1990-01-03,1990-01-04,1990-01-05,1990-01-08,1990-01-09,1990-01-10,1990-01-11,1990-01-12
-- :today = '2026-11-22'
-- :roles = ARRAY['champion','decision maker']
-- :critical = ARRAY[0,4,6]
-- :bases = '[{"no_activity": "5a5bab20b185", "single_contact": "4f4213ff3840", "key_role": "7fcac53f4c83", "pow
-- :org = 1
-- :now = '2026-11-22T11:00:00+00:00'

WITH working_calendar(days) AS MATERIALIZED (SELECT :calendar::date[]),
verdict AS MATERIALIZED (
  SELECT id AS id,
    CASE
      WHEN (
        pipeline_id IN (12) AND owner_id IN (41, 42)
      ) THEN COALESCE(
        working_days[(NULLIF(width_bucket(last_touch_on, working_days), 0) + 30)], (last_touch_on + 30)
      )
      ELSE COALESCE(working_days[(NULLIF(width_bucket(last_touch_on, working_days), 0) + 10)], (last_touch_on + 10))
    END AS fires_0,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN 30 ELSE 10 END AS limit_0,
    last_touch_on AS fact_0_since,
    last_interaction_on AS fact_0_last_on,
    last_interaction_id AS fact_0_activity,
    reopened_on AS fact_0_reopened_on,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL
      ELSE GREATEST((planned_until_on + 1), created_on, reopened_on)
    END AS fires_1,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE planned_until_on END AS fact_1_planned_on,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE planned_id END AS fact_1_activity,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE reopened_on END AS fact_1_reopened_on,
    CASE
      WHEN (waits & 4) > 0 THEN NULL
      WHEN streak_count >= 2 THEN GREATEST(
        COALESCE(
          working_days[(NULLIF(width_bucket(GREATEST((streak_on)[1], created_on), working_days), 0) + 10)],
          (GREATEST((streak_on)[1], created_on) + 10)
        ),
        (streak_on)[2],
        created_on,
        reopened_on
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
      WHEN (
        pipeline_id IN (12) AND owner_id IN (41, 42)
      ) THEN CASE
        WHEN ((waits & 2) > 0 OR (waits & 4) > 0) THEN NULL
        WHEN roles ? 'champion' THEN COALESCE(
          working_days[
            (
              NULLIF(
                width_bucket(
                  GREATEST(
                    COALESCE(
                      ((roles #>> ARRAY['champion','last_on']))::date, ((roles #>> ARRAY['champion','since']))::date
                    ),
                    created_on,
                    reopened_on
                  ),
                  working_days
                ),
                0
              ) + 5
            )
          ],
          (
            GREATEST(
              COALESCE(
                ((roles #>> ARRAY['champion','last_on']))::date, ((roles #>> ARRAY['champion','since']))::date
              ),
              created_on,
              reopened_on
            ) + 5
          )
        )
        ELSE NULL
      END
      ELSE CASE
        WHEN ((waits & 2) > 0 OR (waits & 4) > 0) THEN NULL
        WHEN roles ? 'champion' THEN COALESCE(
          working_days[
            (
              NULLIF(
                width_bucket(
                  GREATEST(
                    COALESCE(
                      ((roles #>> ARRAY['champion','last_on']))::date, ((roles #>> ARRAY['champion','since']))::date
                    ),
                    created_on,
                    reopened_on
                  ),
                  working_days
                ),
                0
              ) + 12
            )
          ],
          (
            GREATEST(
              COALESCE(
                ((roles #>> ARRAY['champion','last_on']))::date, ((roles #>> ARRAY['champion','since']))::date
              ),
              created_on,
              reopened_on
            ) + 12
          )
        )
        ELSE NULL
      END
    END AS fires_3,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN 5 ELSE 12 END AS limit_3,
    (roles #> ARRAY['champion','holders']) AS fact_3_holders,
    (roles #> ARRAY['champion','last_on']) AS fact_3_last_on,
    (roles #> ARRAY['champion','activity']) AS fact_3_activity,
    (roles #> ARRAY['champion','since']) AS fact_3_held_since_on,
    reopened_on AS fact_3_reopened_on,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL
      ELSE CASE
        WHEN ((waits & 2) > 0 OR (waits & 4) > 0) THEN NULL
        WHEN roles ? 'decision maker' THEN COALESCE(
          working_days[
            (
              NULLIF(
                width_bucket(
                  GREATEST(
                    COALESCE(
                      ((roles #>> ARRAY['decision maker','last_on']))::date,
                      ((roles #>> ARRAY['decision maker','since']))::date
                    ),
                    created_on,
                    reopened_on
                  ),
                  working_days
                ),
                0
              ) + 20
            )
          ],
          (
            GREATEST(
              COALESCE(
                ((roles #>> ARRAY['decision maker','last_on']))::date,
                ((roles #>> ARRAY['decision maker','since']))::date
              ),
              created_on,
              reopened_on
            ) + 20
          )
        )
        ELSE NULL
      END
    END AS fires_4,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE 20 END AS limit_4,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE (roles #> ARRAY['decision maker','holders'])
    END AS fact_4_holders,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE (roles #> ARRAY['decision maker','last_on'])
    END AS fact_4_last_on,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE (roles #> ARRAY['decision maker','activity'])
    END AS fact_4_activity,
    CASE
      WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE (roles #> ARRAY['decision maker','since'])
    END AS fact_4_held_since_on,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN NULL ELSE reopened_on END AS fact_4_reopened_on,
    CASE
      WHEN top_level >= 1 THEN NULL
      WHEN (engaged_count > 0 AND titled_count = 0) THEN NULL
      WHEN (
        COALESCE(
          working_days[(NULLIF(width_bucket(close_on, working_days), 11857) - 10)], (close_on - 10)
        ) <= '2026-11-22'
        AND (waits & 4) > 0
      ) THEN NULL
      WHEN close_on IS NOT NULL THEN GREATEST(
        COALESCE(working_days[(NULLIF(width_bucket(close_on, working_days), 11857) - 10)], (close_on - 10)),
        created_on,
        reopened_on
      )
      ELSE NULL
    END AS fires_5,
    10 AS limit_5,
    close_on AS fact_5_close_on,
    1 AS fact_5_level,
    top_level AS fact_5_top_level,
    engaged_count AS fact_5_engaged,
    (engaged_count - titled_count) AS fact_5_untitled,
    reopened_on AS fact_5_reopened_on,
    CASE
      WHEN (NOT stage_known AND (waits & 1) > 0) THEN NULL
      ELSE GREATEST(
        GREATEST(
          stage_entered_on,
          COALESCE(
            working_days[
              (
                NULLIF(
                  width_bucket(stage_entered_on, working_days), 0
                ) + CASE
                  WHEN stage_id = 21 THEN 5 WHEN stage_id = 22 THEN 20 ELSE 12
                END
              )
            ],
            (stage_entered_on + CASE WHEN stage_id = 21 THEN 5 WHEN stage_id = 22 THEN 20 ELSE 12 END)
          )
        ),
        created_on,
        reopened_on
      )
    END AS fires_6,
    CASE WHEN stage_id = 21 THEN 5 WHEN stage_id = 22 THEN 20 ELSE 12 END AS limit_6,
    stage_entered_on AS fact_6_entered_on,
    stage_known AS fact_6_exact,
    stage_id AS fact_6_stage,
    reopened_on AS fact_6_reopened_on,
    CASE WHEN close_on IS NOT NULL THEN GREATEST((close_on + 1), created_on, reopened_on) ELSE NULL END AS fires_7,
    close_on AS fact_7_close_on,
    reopened_on AS fact_7_reopened_on,
    CASE
      WHEN amount IS NULL THEN GREATEST(
        (amount_emptied_at AT TIME ZONE 'Europe/Paris')::date, created_on, reopened_on
      )
      WHEN amount = 0 THEN GREATEST((amount_emptied_at AT TIME ZONE 'Europe/Paris')::date, created_on, reopened_on)
      ELSE NULL
    END AS fires_8,
    amount AS fact_8_amount,
    created_on AS fact_8_created_on,
    amount_emptied_at AS fact_8_emptied_at,
    reopened_on AS fact_8_reopened_on,
    COALESCE(working_days[(NULLIF(width_bucket(created_on, working_days), 0) + 50)], (created_on + 50)) AS fires_9,
    50 AS limit_9,
    created_on AS fact_9_created_on,
    reopened_on AS fact_9_reopened_on,
    CASE
      WHEN deleted THEN 'deleted'
      WHEN archived THEN 'archived'
      WHEN NOT (status = 'open') THEN status
      WHEN NOT (pipeline_id IN (11, 12) AND pipeline_id IS NOT NULL) THEN 'settings_changed'
      ELSE NULL
    END AS gone,
    CASE WHEN (pipeline_id IN (12) AND owner_id IN (41, 42)) THEN 0 ELSE 1 END AS profile,
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
    ('{5a5bab20b185,cedac24bb7b0}'::text[])[v.profile + 1],
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
      v.limit_0,
      'business',
      true,
      'override',
      (:override_0::text[])[v.profile + 1]
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_0 <= :today
  UNION ALL SELECT v.id,
    'no_meeting',
    :subject_1,
    1,
    ('{off,9afcd276704f}'::text[])[v.profile + 1],
    v.fires_1,
    jsonb_build_object(
      'planned_on',
      v.fact_1_planned_on,
      'activity',
      v.fact_1_activity,
      'reopened_on',
      v.fact_1_reopened_on,
      'override',
      (:override_1::text[])[v.profile + 1]
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_1 <= :today
  UNION ALL SELECT v.id,
    'single_contact',
    :subject_2,
    2,
    '4f4213ff3840',
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
      v.limit_2,
      'business',
      true
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_2 <= :today
  UNION ALL SELECT v.id,
    'key_role',
    :subject_3,
    3,
    ('{7fcac53f4c83,1cfab358d2a2}'::text[])[v.profile + 1],
    v.fires_3,
    jsonb_build_object(
      'holders',
      v.fact_3_holders,
      'last_on',
      v.fact_3_last_on,
      'activity',
      v.fact_3_activity,
      'held_since_on',
      v.fact_3_held_since_on,
      'reopened_on',
      v.fact_3_reopened_on,
      'limit',
      v.limit_3,
      'business',
      true,
      'override',
      (:override_3::text[])[v.profile + 1]
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_3 <= :today
  UNION ALL SELECT v.id,
    'key_role',
    :subject_4,
    3,
    ('{7fcac53f4c83,1cfab358d2a2}'::text[])[v.profile + 1],
    v.fires_4,
    jsonb_build_object(
      'holders',
      v.fact_4_holders,
      'last_on',
      v.fact_4_last_on,
      'activity',
      v.fact_4_activity,
      'held_since_on',
      v.fact_4_held_since_on,
      'reopened_on',
      v.fact_4_reopened_on,
      'limit',
      v.limit_4,
      'business',
      true,
      'override',
      (:override_4::text[])[v.profile + 1]
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_4 <= :today
  UNION ALL SELECT v.id,
    'power_map',
    :subject_5,
    4,
    'a5b951ba2284',
    v.fires_5,
    jsonb_build_object(
      'close_on',
      v.fact_5_close_on,
      'level',
      v.fact_5_level,
      'top_level',
      v.fact_5_top_level,
      'engaged',
      v.fact_5_engaged,
      'untitled',
      v.fact_5_untitled,
      'reopened_on',
      v.fact_5_reopened_on,
      'limit',
      v.limit_5,
      'business',
      true
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_5 <= :today
  UNION ALL SELECT v.id,
    'stuck_in_stage',
    :subject_6,
    5,
    'c1ae95c3a253',
    v.fires_6,
    jsonb_build_object(
      'entered_on',
      v.fact_6_entered_on,
      'exact',
      v.fact_6_exact,
      'stage',
      v.fact_6_stage,
      'reopened_on',
      v.fact_6_reopened_on,
      'limit',
      v.limit_6,
      'business',
      true
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_6 <= :today
  UNION ALL SELECT v.id,
    'close_date_passed',
    :subject_7,
    6,
    '9afcd276704f',
    v.fires_7,
    jsonb_build_object('close_on', v.fact_7_close_on, 'reopened_on', v.fact_7_reopened_on)
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_7 <= :today
  UNION ALL SELECT v.id,
    'amount_empty',
    :subject_8,
    7,
    '05ca97aa2507',
    v.fires_8,
    jsonb_build_object(
      'amount',
      v.fact_8_amount,
      'created_on',
      v.fact_8_created_on,
      'emptied_at',
      v.fact_8_emptied_at,
      'reopened_on',
      v.fact_8_reopened_on
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_8 <= :today
  UNION ALL SELECT v.id,
    'deal_too_old',
    :subject_9,
    8,
    '33395360bcad',
    v.fires_9,
    jsonb_build_object(
      'created_on', v.fact_9_created_on, 'reopened_on', v.fact_9_reopened_on, 'limit', v.limit_9, 'business', true
    )
  FROM verdict v
  WHERE v.gone IS NULL
    AND v.fires_9 <= :today
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
