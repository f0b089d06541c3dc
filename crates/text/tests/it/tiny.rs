//! The encoder that ships.

use sconce_text::{Known, TextEncoder};

/// Phrases that it never saw, each with its concept.
fn held_out() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("../../examples/tiny/held_out.txt").lines();
    lines.map(|line| line.split_once(": ").expect("a concept and a phrase")).collect()
}

/// Kidney and liver, as far as it knows.
fn known(encoder: &TextEncoder) -> anyhow::Result<Known> {
    let names = ["kidney", "liver"];
    let threshold = encoder.config().similarity_threshold.expect("it says so");
    Ok(Known::new(names.map(str::to_owned).to_vec(), &encoder.embed(&names)?, threshold)?)
}

#[test]
fn paraphrases_that_it_never_saw_stand_for_their_organ() -> anyhow::Result<()> {
    let encoder = TextEncoder::tiny()?;
    let known = known(&encoder)?;
    assert!(held_out().len() >= 10);
    for (organ, phrase) in held_out() {
        let nearest = known.nearest(&encoder.embed(&[phrase])?)?;

        let found = known.class(phrase, &encoder.embed(&[phrase])?);

        assert_eq!(
            found.ok().map(|(class, _)| class).as_deref(),
            Some(organ),
            "{phrase}: {nearest:?}"
        );
    }
    Ok(())
}

#[test]
fn other_words_stand_for_neither() -> anyhow::Result<()> {
    let encoder = TextEncoder::tiny()?;
    let known = known(&encoder)?;
    for words in [
        "spleen",
        "the pancreas",
        "left lung",
        "segment the urinary bladder",
        "banana",
        "a dog",
        "gallbladder",
        "thymus",
        "please",
        "xyzzy",
        "gastrocnemius",
        "the left eye",
    ] {
        let found = known.class(words, &encoder.embed(&[words])?);

        let error = found.map_err(|error| error.to_string()).expect_err(words);
        assert!(
            error.starts_with(&format!("{words:?} is not among what this model knows; nearest: ")),
            "{error}"
        );
        assert!(error.contains("kidney (") && error.contains("liver ("), "{error}");
    }
    Ok(())
}

#[test]
fn embeddings_are_unit_vectors_whatever_else_is_embedded() -> anyhow::Result<()> {
    let encoder = TextEncoder::tiny()?;
    let long = "kidney ".repeat(500);
    let texts = ["liver", &long, "Ünïcödé 肝臓 \u{1f600}"];

    let all = encoder.embed(&texts)?.to_vec2::<f32>()?;

    for (text, embedding) in texts.iter().zip(&all) {
        assert_eq!(encoder.embed(&[text])?.to_vec2::<f32>()?[0], *embedding);
        let norm: f32 = embedding.iter().map(|value| value * value).sum();
        approx::assert_abs_diff_eq!(norm, 1.0, epsilon = 1e-5);
    }
    let tokens = encoder.tokens(&long)?;
    assert_eq!(tokens.len(), encoder.config().max_position_embeddings);
    assert_eq!(tokens.last(), Some(&encoder.config().eos_token_id));
    assert_eq!(encoder.embed(&[] as &[&str])?.dims(), [0, encoder.length()]);
    Ok(())
}

#[test]
fn it_is_small() -> anyhow::Result<()> {
    let bytes: usize = TextEncoder::tiny()?.files().map(|(_, content)| content.len()).sum();

    assert!(bytes <= 1 << 20, "{bytes} bytes");
    Ok(())
}
