//! The guide to clusters: its commands exist, and its files are what they say.

use std::fs;

use yaml_rust2::{Yaml, YamlLoader};

use crate::readme::{check, root};

fn guide() -> anyhow::Result<String> {
    Ok(fs::read_to_string(root().join("crates/sconce/guide/clusters.md"))?)
}

/// The code blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let blocks = text.split(open.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// The commands of a script, as the shell of a first job hands them on.
fn commands(script: &str) -> Vec<String> {
    let mut script = script.replace("\\\n", " ").replace('"', "");
    for (variable, value) in [
        ("$((JOB_COMPLETION_INDEX+1))", "1"),
        ("$shard", "1/8"),
        ("$SLURM_ARRAY_TASK_ID", "1"),
        ("$SLURM_CPUS_PER_TASK", "8"),
        ("$fold", "0"),
        ("$DATA", "data"),
        ("$IMAGES", "images"),
    ] {
        script = script.replace(variable, value);
    }
    let mut found = Vec::new();
    for line in script.lines() {
        let starts = ["sconce ", "exec sconce ", "srun --mpi=pmix sconce "];
        let rest = starts.iter().find_map(|start| line.trim().strip_prefix(start));
        found.extend(rest.map(|it| format!("sconce {}", it.trim_end_matches(" &"))));
    }
    found
}

#[test]
fn the_commands_of_the_scripts_exist() -> anyhow::Result<()> {
    let guide = guide()?;
    let scripts = blocks(&guide, "bash");
    let found: Vec<String> = scripts.iter().flat_map(|script| commands(script)).collect();
    assert!(scripts.len() >= 6 && found.len() >= 6, "{found:?}");
    assert!(found.iter().all(|line| !line.contains('$')), "{found:?}");
    // Those within sentences as well, but for names of commands alone.
    let sentences =
        guide.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    let names = ["sconce train", "sconce predict", "sconce evaluate", "sconce dataset check"];
    let whole = sentences.filter(|code| code.starts_with("sconce ") && !names.contains(code));
    let quoted: Vec<&str> = whole.collect();

    let count = check(&[found.join("\n"), quoted.join("\n")])?;

    assert!(count > found.len(), "{count} commands, {} in scripts", found.len());
    Ok(())
}

#[test]
fn the_jobs_are_yaml_whose_commands_exist() -> anyhow::Result<()> {
    let guide = guide()?;
    let jobs = blocks(&guide, "yaml");
    assert_eq!(jobs.len(), 2);
    let mut found = Vec::new();
    for job in jobs {
        let parsed = YamlLoader::load_from_str(job)?;
        assert_eq!(parsed.len(), 1, "{job}");
        let job = &parsed[0];
        assert_eq!(job["kind"].as_str(), Some("Job"));
        let pod = &job["spec"]["template"]["spec"];
        // What indexed jobs and failure policies ask for.
        assert_eq!(pod["restartPolicy"].as_str(), Some("Never"));
        assert!(pod["terminationGracePeriodSeconds"].as_i64() > Some(0));
        if job["spec"]["completionMode"].as_str() == Some("Indexed") {
            assert_eq!(job["spec"]["completions"].as_i64(), Some(8), "as its shards say");
        }
        let container = &pod["containers"][0];
        let words = |key: &str| -> Vec<&str> {
            container[key].as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
        };
        match words("command")[..] {
            ["sh", "-c"] => found.extend(words("args").iter().flat_map(|it| commands(it))),
            ref words => found.push(words.join(" ")),
        }
    }
    assert_eq!(check(&[found.join("\n")])?, 2, "{found:?}");
    assert!(found[1].ends_with("--shard 1/8"), "{found:?}");
    Ok(())
}
