"""ISO 4217 as published on 2026-01-01: the pinned facts that :mod:`worker.money.currency` turns into objects.

Source: SIX, the standard's maintenance agency, list one (current currencies and funds) and list three
(historic denominations), both published on 2026-01-01; numeric codes cross-checked with Debian's iso-codes.
Successors are the code that is legal tender today where the withdrawn one was used, at the end of the chain;
they are ours, since list three names none.
"""

from typing import Final

PUBLISHED: Final = "2026-01-01"
"""The date on both lists."""

CURRENT: Final = """\
AED 784 2 currency UAE Dirham
AFN 971 2 currency Afghani
ALL 008 2 currency Lek
AMD 051 2 currency Armenian Dram
AOA 973 2 currency Kwanza
ARS 032 2 currency Argentine Peso
AUD 036 2 currency Australian Dollar
AWG 533 2 currency Aruban Florin
AZN 944 2 currency Azerbaijan Manat
BAM 977 2 currency Convertible Mark
BBD 052 2 currency Barbados Dollar
BDT 050 2 currency Taka
BHD 048 3 currency Bahraini Dinar
BIF 108 0 currency Burundi Franc
BMD 060 2 currency Bermudian Dollar
BND 096 2 currency Brunei Dollar
BOB 068 2 currency Boliviano
BOV 984 2 fund Mvdol
BRL 986 2 currency Brazilian Real
BSD 044 2 currency Bahamian Dollar
BTN 064 2 currency Ngultrum
BWP 072 2 currency Pula
BYN 933 2 currency Belarusian Ruble
BZD 084 2 currency Belize Dollar
CAD 124 2 currency Canadian Dollar
CDF 976 2 currency Congolese Franc
CHE 947 2 fund WIR Euro
CHF 756 2 currency Swiss Franc
CHW 948 2 fund WIR Franc
CLF 990 4 fund Unidad de Fomento
CLP 152 0 currency Chilean Peso
CNY 156 2 currency Yuan Renminbi
COP 170 2 currency Colombian Peso
COU 970 2 fund Unidad de Valor Real
CRC 188 2 currency Costa Rican Colon
CUP 192 2 currency Cuban Peso
CVE 132 2 currency Cabo Verde Escudo
CZK 203 2 currency Czech Koruna
DJF 262 0 currency Djibouti Franc
DKK 208 2 currency Danish Krone
DOP 214 2 currency Dominican Peso
DZD 012 2 currency Algerian Dinar
EGP 818 2 currency Egyptian Pound
ERN 232 2 currency Nakfa
ETB 230 2 currency Ethiopian Birr
EUR 978 2 currency Euro
FJD 242 2 currency Fiji Dollar
FKP 238 2 currency Falkland Islands Pound
GBP 826 2 currency Pound Sterling
GEL 981 2 currency Lari
GHS 936 2 currency Ghana Cedi
GIP 292 2 currency Gibraltar Pound
GMD 270 2 currency Dalasi
GNF 324 0 currency Guinean Franc
GTQ 320 2 currency Quetzal
GYD 328 2 currency Guyana Dollar
HKD 344 2 currency Hong Kong Dollar
HNL 340 2 currency Lempira
HTG 332 2 currency Gourde
HUF 348 2 currency Forint
IDR 360 2 currency Rupiah
ILS 376 2 currency New Israeli Sheqel
INR 356 2 currency Indian Rupee
IQD 368 3 currency Iraqi Dinar
IRR 364 2 currency Iranian Rial
ISK 352 0 currency Iceland Krona
JMD 388 2 currency Jamaican Dollar
JOD 400 3 currency Jordanian Dinar
JPY 392 0 currency Yen
KES 404 2 currency Kenyan Shilling
KGS 417 2 currency Som
KHR 116 2 currency Riel
KMF 174 0 currency Comorian Franc
KPW 408 2 currency North Korean Won
KRW 410 0 currency Won
KWD 414 3 currency Kuwaiti Dinar
KYD 136 2 currency Cayman Islands Dollar
KZT 398 2 currency Tenge
LAK 418 2 currency Lao Kip
LBP 422 2 currency Lebanese Pound
LKR 144 2 currency Sri Lanka Rupee
LRD 430 2 currency Liberian Dollar
LSL 426 2 currency Loti
LYD 434 3 currency Libyan Dinar
MAD 504 2 currency Moroccan Dirham
MDL 498 2 currency Moldovan Leu
MGA 969 2 currency Malagasy Ariary
MKD 807 2 currency Denar
MMK 104 2 currency Kyat
MNT 496 2 currency Tugrik
MOP 446 2 currency Pataca
MRU 929 2 currency Ouguiya
MUR 480 2 currency Mauritius Rupee
MVR 462 2 currency Rufiyaa
MWK 454 2 currency Malawi Kwacha
MXN 484 2 currency Mexican Peso
MXV 979 2 fund Mexican Unidad de Inversion (UDI)
MYR 458 2 currency Malaysian Ringgit
MZN 943 2 currency Mozambique Metical
NAD 516 2 currency Namibia Dollar
NGN 566 2 currency Naira
NIO 558 2 currency Cordoba Oro
NOK 578 2 currency Norwegian Krone
NPR 524 2 currency Nepalese Rupee
NZD 554 2 currency New Zealand Dollar
OMR 512 3 currency Rial Omani
PAB 590 2 currency Balboa
PEN 604 2 currency Sol
PGK 598 2 currency Kina
PHP 608 2 currency Philippine Peso
PKR 586 2 currency Pakistan Rupee
PLN 985 2 currency Zloty
PYG 600 0 currency Guarani
QAR 634 2 currency Qatari Rial
RON 946 2 currency Romanian Leu
RSD 941 2 currency Serbian Dinar
RUB 643 2 currency Russian Ruble
RWF 646 0 currency Rwanda Franc
SAR 682 2 currency Saudi Riyal
SBD 090 2 currency Solomon Islands Dollar
SCR 690 2 currency Seychelles Rupee
SDG 938 2 currency Sudanese Pound
SEK 752 2 currency Swedish Krona
SGD 702 2 currency Singapore Dollar
SHP 654 2 currency Saint Helena Pound
SLE 925 2 currency Leone
SOS 706 2 currency Somali Shilling
SRD 968 2 currency Surinam Dollar
SSP 728 2 currency South Sudanese Pound
STN 930 2 currency Dobra
SVC 222 2 currency El Salvador Colon
SYP 760 2 currency Syrian Pound
SZL 748 2 currency Lilangeni
THB 764 2 currency Baht
TJS 972 2 currency Somoni
TMT 934 2 currency Turkmenistan New Manat
TND 788 3 currency Tunisian Dinar
TOP 776 2 currency Pa'anga
TRY 949 2 currency Turkish Lira
TTD 780 2 currency Trinidad and Tobago Dollar
TWD 901 2 currency New Taiwan Dollar
TZS 834 2 currency Tanzanian Shilling
UAH 980 2 currency Hryvnia
UGX 800 0 currency Uganda Shilling
USD 840 2 currency US Dollar
USN 997 2 fund US Dollar (Next day)
UYI 940 0 fund Uruguay Peso en Unidades Indexadas (UI)
UYU 858 2 currency Peso Uruguayo
UYW 927 4 currency Unidad Previsional
UZS 860 2 currency Uzbekistan Sum
VED 926 2 currency Bolívar Soberano
VES 928 2 currency Bolívar Soberano
VND 704 0 currency Dong
VUV 548 0 currency Vatu
WST 882 2 currency Tala
XAD 396 2 currency Arab Accounting Dinar
XAF 950 0 currency CFA Franc BEAC
XAG 961 - metal Silver
XAU 959 - metal Gold
XBA 955 - unit Bond Markets Unit European Composite Unit (EURCO)
XBB 956 - unit Bond Markets Unit European Monetary Unit (E.M.U.-6)
XBC 957 - unit Bond Markets Unit European Unit of Account 9 (E.U.A.-9)
XBD 958 - unit Bond Markets Unit European Unit of Account 17 (E.U.A.-17)
XCD 951 2 currency East Caribbean Dollar
XCG 532 2 currency Caribbean Guilder
XDR 960 - unit SDR (Special Drawing Right)
XOF 952 0 currency CFA Franc BCEAO
XPD 964 - metal Palladium
XPF 953 0 currency CFP Franc
XPT 962 - metal Platinum
XSU 994 - unit Sucre
XTS 963 - testing Codes specifically reserved for testing purposes
XUA 965 - unit ADB Unit of Account
XXX 999 - none The codes assigned for transactions where no currency is involved
YER 886 2 currency Yemeni Rial
ZAR 710 2 currency Rand
ZMW 967 2 currency Zambian Kwacha
ZWG 924 2 currency Zimbabwe Gold
"""
"""One currency a line: code, numeric code, exponent (``-``: ISO says not applicable), kind, name."""

WITHDRAWN: Final = """\
ADP 2003-07 EUR Andorran Peseta
AFA 2003-01 AFN Afghani
ALK 1989-12 ALL Old Lek
ANG 2025-03 XCG Netherlands Antillean Guilder
AOK 1991-03 AOA Kwanza
AON 2000-02 AOA New Kwanza
AOR 2000-02 AOA Kwanza Reajustado
ARA 1992-01 ARS Austral
ARP 1985-07 ARS Peso Argentino
ARY 1990 ARS Peso
ATS 2002-03 EUR Schilling
AYM 2005-10 AZN Azerbaijan Manat
AZM 2005-12 AZN Azerbaijanian Manat
BAD 1998-07 BAM Dinar
BEC 1990-03 EUR Convertible Franc
BEF 2002-03 EUR Belgian Franc
BEL 1990-03 EUR Financial Franc
BGJ 1990 EUR Lev A/52
BGK 1990 EUR Lev A/62
BGL 2003-11 EUR Lev
BGN 2026-01 EUR Bulgarian Lev
BOP 1987-02 BOB Peso boliviano
BRB 1986-03 BRL Cruzeiro
BRC 1989-02 BRL Cruzado
BRE 1993-03 BRL Cruzeiro
BRN 1990-03 BRL New Cruzado
BRR 1994-07 BRL Cruzeiro Real
BUK 1990-02 MMK Kyat
BYB 2001-01 BYN Belarusian Ruble
BYR 2017-01 BYN Belarusian Ruble
CHC 2004-11 CHW WIR Franc (for electronic)
CSD 2006-10 RSD Serbian Dinar
CSJ 1990 CZK Krona A/53
CSK 1993-03 CZK Koruna
CUC 2021-06 CUP Peso Convertible
CYP 2008-01 EUR Cyprus Pound
DDM 1990-09 EUR Mark der DDR
DEM 2002-03 EUR Deutsche Mark
ECS 2000-09 USD Sucre
ECV 2000-09 USD Unidad de Valor Constante (UVC)
EEK 2011-01 EUR Kroon
ESA 1981 EUR Spanish Peseta
ESB 1994-12 EUR "A" Account (convertible Peseta Account)
ESP 2002-03 EUR Spanish Peseta
FIM 2002-03 EUR Markka
FRF 2002-03 EUR French Franc
GEK 1995-10 GEL Georgian Coupon
GHC 2008-01 GHS Cedi
GHP 2007-06 GHS Ghana Cedi
GNE 1989-12 GNF Syli
GNS 1986-02 GNF Syli
GQE 1986-06 XAF Ekwele
GRD 2002-03 EUR Drachma
GWE 1981 XOF Guinea Escudo
GWP 1997-05 XOF Guinea-Bissau Peso
HRD 1995-01 EUR Croatian Dinar
HRK 2023-01 EUR Kuna
IEP 2002-03 EUR Irish Pound
ILP 1981 ILS Pound
ILR 1990 ILS Old Shekel
ISJ 1990 ISK Old Krona
ITL 2002-03 EUR Italian Lira
LAJ 1979-12 LAK Pathet Lao Kip
LSM 1985-05 LSL Loti
LTL 2014-12 EUR Lithuanian Litas
LTT 1993-07 EUR Talonas
LUC 1990-03 EUR Luxembourg Convertible Franc
LUF 2002-03 EUR Luxembourg Franc
LUL 1990-03 EUR Luxembourg Financial Franc
LVL 2014-01 EUR Latvian Lats
LVR 1994-12 EUR Latvian Ruble
MGF 2004-12 MGA Malagasy Franc
MLF 1984-11 XOF Mali Franc
MRO 2017-12 MRU Ouguiya
MTL 2008-01 EUR Maltese Lira
MTP 1983-06 EUR Maltese Pound
MVQ 1989-12 MVR Maldive Rupee
MXP 1993-01 MXN Mexican Peso
MZE 1981 MZN Mozambique Escudo
MZM 2006-06 MZN Mozambique Metical
NIC 1990-10 NIO Cordoba
NLG 2002-03 EUR Netherlands Guilder
PEH 1990 PEN Sol
PEI 1991-07 PEN Inti
PES 1986-02 PEN Sol
PLZ 1997-01 PLN Zloty
PTE 2002-03 EUR Portuguese Escudo
RHD 1981 ZWG Rhodesian Dollar
ROK 1990 RON Leu A/52
ROL 2005-06 RON Old Leu
RUR 2004-01 RUB Russian Ruble
SDD 2007-07 SDG Sudanese Dinar
SDP 1998-06 SDG Sudanese Pound
SIT 2007-01 EUR Tolar
SKK 2009-01 EUR Slovak Koruna
SLL 2023-12 SLE Leone
SRG 2003-12 SRD Surinam Guilder
STD 2017-12 STN Dobra
SUR 1990-12 RUB Rouble
TJR 2001-04 TJS Tajik Ruble
TMM 2009-01 TMT Turkmenistan Manat
TPE 2002-11 USD Timor Escudo
TRL 2005-12 TRY Old Turkish Lira
UAK 1996-09 UAH Karbovanet
UGS 1987-05 UGX Uganda Shilling
UGW 1990 UGX Old Shilling
USS 2014-03 USD US Dollar (Same day)
UYN 1989-12 UYU Old Uruguay Peso
UYP 1993-03 UYU Uruguayan Peso
VEB 2008-01 VES Bolivar
VEF 2018-08 VES Bolívar
VNC 1990 VND Old Dong
XEU 1999-01 EUR European Currency Unit (E.C.U)
XFO 2006-10 - Gold-Franc
XFU 2013-11 - UIC-Franc
XRE 1999-11 - RINET Funds Code
YDD 1991-09 YER Yemeni Dinar
YUD 1990-01 RSD New Yugoslavian Dinar
YUM 2003-07 RSD New Dinar
YUN 1995-11 RSD Yugoslavian Dinar
ZAL 1995-03 ZAR Financial Rand
ZMK 2012-12 ZMW Zambian Kwacha
ZRN 1999-06 CDF New Zaire
ZRZ 1994-02 CDF Zaire
ZWC 1989-12 ZWG Rhodesian Dollar
ZWD 2008-08 ZWG Zimbabwe Dollar
ZWL 2024-09 ZWG Zimbabwe Dollar
ZWN 2006-09 ZWG Zimbabwe Dollar (new)
ZWR 2009-06 ZWG Zimbabwe Dollar
"""
"""One code a line: code, month or year of withdrawal (the last, if countries differ), successor, name."""

CASH_INCREMENTS: Final = """\
AUD 0.05 Reserve Bank of Australia, since 1992
CAD 0.05 Royal Canadian Mint, since 2013
CHF 0.05 Swiss National Bank, since 2007
CZK 1.00 Czech National Bank, since 2008
DKK 0.50 Danmarks Nationalbank, since 2008
HUF 5.00 Magyar Nemzeti Bank, since 2008
ILS 0.10 Bank of Israel, since 2008
MYR 0.05 Bank Negara Malaysia, since 2008
NOK 1.00 Norges Bank, since 2012
NZD 0.10 Reserve Bank of New Zealand, since 2006
SEK 1.00 Sveriges Riksbank, since 2010
SGD 0.05 Monetary Authority of Singapore, since 2002
"""
"""One currency a line: code, smallest sum that coins can pay, who says so and since when.

Where only some countries of a currency round (EUR) or where law leaves it to shops, there is no row; a
registry can be given the increment.
"""
