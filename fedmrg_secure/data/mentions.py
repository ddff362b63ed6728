"""How reports mention the observation classes, as regular expressions over lower-case text.

The classes are CheXpert's (Irvin et al. 2019, appendix); the expressions are our own and cover
American and British usage.
"""

from __future__ import annotations

import re
from typing import Final


def _any_of(*expressions: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(expressions) + r")\b")


MENTIONS: Final[dict[str, re.Pattern[str]]] = {
    "Lung Lesion": _any_of(
        r"(?:micro)?nodul(?:e|es|ar(?: densit(?:y|ies)| opacit(?:y|ies)| lesions?)?)",
        r"mass(?:es)?",
        r"(?:lung|pulmonary|cavitary|cavitating|lobe) lesions?",
        r"lesions? (?:in|of) the (?:right |left )?(?:upper |middle |lower )?(?:lung|lobe|zone)",
        r"neoplas(?:m|tic)\w*",
        r"carcinoma",
        r"tumou?rs?",
        r"metasta(?:sis|ses|tic)\w*",
        r"granulom(?:a|as|ata|atous)(?! infection)",
        r"coin lesions?",
    ),
    "Lung Opacity": _any_of(
        r"opaci(?:ty|ties|fication|fications|fied)",
        r"shadowing",
        r"(?:patchy|hazy|ground[- ]glass|alveolar|interstitial) (?:shadows?|changes?)",
        r"infiltrat(?:e|es|ion|ions|ive)",
        r"(?:air ?space|parenchymal|interstitial)(?: lung)? (?:disease|process|densit(?:y|ies))",
        r"(?:interstitial|reticular|bronchovascular)(?: lung| pulmonary)? "
        r"(?:markings|prominence|pattern|thickening)",
        r"(?:increased|crowded|coarse|prominent) (?:lung |perihilar |bibasilar )?markings",
        r"increase in (?:\w+ )?markings",
        r"reticul(?:ar|o)[- ]?nodular (?:pattern|changes?)",
        r"ground[- ]glass",
        r"(?:increas(?:ed|ing)|focal|vague|hazy|patchy|rounded|basilar|lung|perihilar|streaky|"
        r"lower lobe|upper lobe|middle lobe|area of) densit(?:y|ies)",
        r"scar(?:ring|s)?",
        r"(?<!hyper)haz(?:e|iness)",
        r"fibro(?:sis|tic)\w*",
    ),
    "Edema": _any_of(
        r"o?edema(?:tous)?",
        r"(?:heart|cardiac|ventricular) failure",
        r"chf",
        r"(?:pulmonary )?vascular congestion",
        r"(?:pulmonary )?venous congestion",
        r"pulmonary congestion",
        r"(?:hilar|perihilar|central|vascular) congestion",
        r"(?:pulmonary )?venous hypertension",
        r"(?:fluid|volume) overload",
        r"vascular prominence",
        r"prominence of the (?:central )?(?:pulmonary )?vascul(?:arity|ature)",
        r"prominent (?:central )?(?:pulmonary )?vascul(?:arity|ature)",
        r"kerley b?\s?lines?",
        r"septal lines?",
        r"cephali[sz]ation",
    ),
    "Consolidation": _any_of(r"consolidat(?:ion|ions|ive|ed|ing)"),
    "Pneumonia": _any_of(
        r"(?:broncho)?pneumon(?:ia|ias|ic)",
        r"(?:pulmonary |lung |chest |lower respiratory (?:tract )?)infecti(?:on|ous)\w*",
        r"infecti(?:on|ous)(?: process| etiology| aetiology| infiltrates?)?",
        r"pneumonitis",
    ),
    "Atelectasis": _any_of(
        r"atelecta(?:sis|ses|tic)",
        r"(?:linear|subsegmental|segmental|lobar|basal|lobe|lung|partial|volume) collapse",
        r"collapse(?:d)? (?:of|lobe|lung|at)",
        r"volume loss",
        r"loss of volume",
    ),
    "Pneumothorax": _any_of(
        r"(?:hydro-?|ha?emo-?|tension )?pneumothora(?:x|ces|xes)", r"pleural air(?: collections?)?"
    ),
    "Pleural Effusion": _any_of(
        r"(?:pleural |hemorrhagic |haemorrhagic )?effusions?",
        r"pleural (?:fluid|collections?)",
        r"(?:hydro|ha?emo)-?(?:pneumo)?thora(?:x|ces)",
        r"empyema",
        r"blunt(?:ing|ed)",
    ),
    "Pleural Other": _any_of(
        r"pleural[- ](?:based )?(?:parenchymal )?"
        r"(?:thickening|plaques?|scar(?:ring)?|calcifications?)",
        r"pleural and parenchymal scarring",
        r"pleuro-?parenchymal (?:thickening|scarring)",
        r"thickening of the pleura",
        r"thickened pleura",
        r"(?:bi)?apical (?:pleural )?(?:thickening|capping|cap|caps)",
        r"(?:fissural|fissure) thickening",
        r"thickening (?:of|in) the (?:\w+ ){0,2}fissures?",
        r"fibro-?nodular thickening",
        r"pleural[- ]peripheral scarring",
        r"fibrothorax",
        r"pleural fibrosis",
    ),
    "Fracture": _any_of(r"fractur(?:e|es|ed)", r"broken ribs?", r"compression deformit(?:y|ies)"),
    "Support Devices": _any_of(
        r"pace ?makers?",
        r"(?:aicd|icd|defibrillator)s?",
        r"picc(?: line)?",
        r"(?:endotracheal|et|ng|og|enteric|naso-?gastric|orogastric|feeding|tracheostomy|gastrostomy|chest|"
        r"thoracostomy|drainage|dobhoff|nasoenteric|gastric) ?tubes?",
        r"ett",
        r"(?:central|subclavian|jugular|ij|cv|venous|swan[- ]ganz|dialysis|port[- ]a[- ]cath)"
        r"(?: venous)? (?:line|catheter|access)s?",
        r"cvc",
        r"(?:port|med[ii]?port|port[- ]?a?[- ]?cath)s?(?: catheter)?",
        r"catheters?",
        r"tips?(?: \w+){1,5} (?:svc|ivc|(?:superior|inferior) vena cava|cavo-?atrial|caval|atrium)",
        r"ivc filters?",
        r"shunt(?: tubing| catheter)?s?",
        r"(?:sternotomy|sternal|cerclage) wires?",
        r"sternotomy",
        r"(?:valve|valvular) (?:prosthes[ie]s|replacement)",
        r"(?:prosthetic|artificial|mechanical) "
        r"(?:heart |aortic |mitral |pulmonic |tricuspid )?valves?",
        r"(?:septal|atrial|appendage) occluder",
        r"intubat(?:ed|ion)",
        r"(?:tracheal|tracheostomy) cannula",
        r"stents?",
        r"surgical (?:staples|hardware|drains?|sutures?)",
        r"(?:surgical |vascular )?(?:clips|coils)",
        r"sutures?",
        r"(?:monitor(?:ing)?|e[ck]g) leads?",
        r"(?:electronic|monitoring|implanted|cardiac assist) devices?",
        r"(?:pulse |cardiac )?generators?",
        r"stimulators?",
        r"(?:orthop(?:a?e)dic|fixation|fusion) (?:hardware|plates?|screws?|rods?)",
        r"leads?(?= (?:is|are|in|terminat|project|over|tip))",
        r"balloon pump",
        r"spinal (?:hardware|rods?)",
        r"(?:spinal|spine|cervical|thoracic|lumbar) fusion",
    ),
}
"""Expressions of ten classes; the two silhouettes are in `SILHOUETTES`."""

NOT_MENTIONS: Final[dict[str, re.Pattern[str]]] = {
    "Lung Lesion": _any_of(r"nodular nipples?", r"nipple shadows?", r"body mass", r"mass effect"),
    "Lung Opacity": _any_of(r"nipple shadows?", r"perihilar haze"),
    "Edema": _any_of(r"(?:peripheral|leg|ankle|cerebral|soft tissue|limb) o?edema"),
    "Pleural Effusion": _any_of(
        r"pericardial effusions?", r"joint effusions?", r"blunt (?:chest )?trauma"
    ),
    "Pneumonia": _any_of(
        r"(?:urinary|viral|covid-?19|sars-cov-2|upper respiratory|wound|hiv|herpes\w*) (?:tract )?"
        r"infection",
        r"(?:prior|previous|old|remote|past)(?: \w+)? infecti(?:on|ous)(?: process)?",
        r"granulomatous infection",
    ),
    "Fracture": _any_of(
        r"fractures? may not be",
        r"(?:if there is|(?:if )?continued) (?:\w+ ){0,2}concern for (?:\w+ ){0,2}fractures?",
        r"(?:evaluation|history) (?:of|for) fractures?",
        r"(?:catheter|lead|wire|screw|hardware) fractures?",
        r"fractured (?:\w+ ){0,2}(?:catheter|lead|wire|screw)s?",
    ),
    "Support Devices": _any_of(
        r"shunt vascularity",
        r"(?:support and medical |support |medical |indwelling )?(?:ports?) (?:film|chest)",
    ),
}
"""What looks like a mention and is none."""

SILHOUETTES: Final[dict[str, tuple[re.Pattern[str], re.Pattern[str]]]] = {
    "Cardiomegaly": (
        _any_of(
            r"cardiomegaly",
            r"cardiac enlargement",
            r"enlargement of the (?:heart|cardiac silhouette|left ventricle)",
            r"(?:enlarged|large|prominent) (?:heart|cardiac (?:silhouette|shadow|size))",
            r"increased (?:heart size|cardiothoracic ratio)",
        ),
        _any_of(
            r"heart(?: size| shadow| silhouette)?(?! failure| disease| rate| surgery| valve)",
            r"cardiac(?: and mediastinal)? (?:silhouettes?|size|shadows?|contours?|outline)",
            r"cardio-?thoracic ratio",
            r"cardiac and mediastinal (?:contours|silhouettes?)",
            r"cardiac(?=,? (?:and )?mediastinal)",
        ),
    ),
    "Enlarged Cardiomediastinum": (
        _any_of(
            r"mediastinal (?:widening|enlargement)",
            r"widen(?:ed|ing) (?:of )?(?:the )?(?:superior |upper )?(?:cardio)?mediastin\w+",
            r"(?:enlarged|prominent|wide|broad) (?:superior |upper )?(?:cardio)?mediastin\w+",
            r"enlargement of the (?:cardio)?mediastin\w+",
        ),
        _any_of(
            r"(?:cardio-?)?mediastin(?:um|al(?! (?:and (?:\w+ )?hilar )?"
            r"(?:calcif|lymph|nod|adeno|granuloma|mass|clip|surg|shift|fat)))(?: and hilar)?"
            r"(?: contours?| silhouettes?| outlines?| size| shadows?| structures| width)?",
        ),
    ),
}
"""For the heart and the mediastinum: what says that it is enlarged, and what only names it."""

ABNORMAL: Final = _any_of(
    r"enlarge(?:d|ment)",
    r"widen(?:ed|ing)",
    r"increased(?! (?:\w+ )?(?:densit|opaci|markings|interstitial))",
    r"prominen(?:t|ce)",
    r"dilated",
    r"(?<!well )large(?! pleural| effusion| right| left| calcif| amount| hiatal| nodul| mass)",
    r"big",
)
NORMAL: Final = _any_of(
    r"normal(?:ly)?",
    r"unremarkable",
    r"within (?:the )?(?:normal )?limits",
    r"wnl",
    r"not (?:significantly )?(?:enlarged|widened)",
    r"clear",
    r"preserved",
)
BORDERLINE: Final = _any_of(r"borderline")

CLEAR_LUNGS: Final = _any_of(
    r"(?:lungs?|lung fields?|lungs? (?:bases|apices))(?: \w+){0,3}? (?:are|is|remain|appear)"
    r"(?: \w+){0,2}? clear",
    r"lungs? (?:fields? )?clear",
    r"clear (?:lungs?|lung fields?)",
    r"both lungs (?:are )?clear",
)
"""Denies lung opacity."""
