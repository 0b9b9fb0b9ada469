def test_x(postgresql_url, reader_url):
    import time

    from fogline.simulators.databases.executor import Database
    from fogline.simulators.databases.records import DatabaseRef, QueryLimits
    print(reader_url)
    db=Database(DatabaseRef('chinook',reader_url),QueryLimits(seconds=0.5))
    stms=["select 1","select * from \"Album\" limit 2","select count(*) from pg_class","select table_name from information_schema.tables where table_schema='chinook' limit 2","delete from \"Album\"","with x as (delete from \"Album\" returning 1) select * from x","select 1; select 2","select * from nope","select z from \"Album\"","selec","","select pg_sleep(5)","select count(*) from generate_series(1,1000000000)","with recursive r as (select 1 i union all select i+1 from r) select count(*) from r","select repeat('x',1000000000)","select repeat('x',2000000)","explain select * from \"Album\"","explain analyze select 1","select '2020-01-01'::date, now()::timestamp(0), 1.5::numeric, 3::numeric, true, array[1,2], row(1,'a'), '\\x00ff'::bytea, '{\"a\":1}'::jsonb, null, 'nan'::float8, interval '1 day', array['2020-01-01'::date], int4range(1,2)","select pg_read_file('/etc/passwd')","select * from pg_authid","select lo_import('/etc/passwd')","select pg_terminate_backend(1)","select nextval('s')","create table x(a int)","copy \"Album\" to '/tmp/x'","select * into zz from \"Album\"","select * from \"Album\" for update","values (1,2)","table \"Album\"","select generate_series(1,100000)", "select md5(string_agg(repeat('x',1000),'')) from generate_series(1,3000000)","select 1/0","select * from \"Album\" a, \"Track\" t, \"Artist\" x, \"Genre\" g order by 1,2,3","select 7","select 1\0; select 2","select '\ud800'"]
    for s in stms:
        t=time.perf_counter(); r=db.execute(s); print(f'{time.perf_counter()-t:.3f}', ascii(s[:60]), '|', r.status, r.error_class, r.message[:100].replace('\n',' '), r.truncated, set(r.tables), r.metadata_only, r.row_count, str(r.rows)[:180])
    c=db.catalogue(); print(list(c.tables)[:4], c.views, c.foreign_keys[:2])
    ts=[]
    for _ in range(500):
        t=time.perf_counter(); db.execute("SELECT 1"); ts.append(time.perf_counter()-t)
    print(sorted(ts)[250]*1e6)
    try: Database(DatabaseRef('x',postgresql_url)).execute("select 1")
    except Exception as e: print(type(e),e)
    db.close()
